"""The ports that a process is to listen on, looked at before it does: each free, and no two of them one."""

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from sepal.errors import PortTakenError
from sepal.settings import Settings

TierName = Literal["gateway", "model_server"]

_EVERY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 (nothing is bound to them here)


@dataclass(frozen=True)
class Listener:
    """One address and port, what it is for, and the settings that say so."""

    name: str
    host: str
    port: int
    host_setting: str
    port_setting: str

    def meets(self, other: "Listener") -> bool:
        """Whether both would listen at one place."""
        one_host = self.host == other.host or {self.host, other.host} & {*_EVERY_ADDRESS}
        return self.port == other.port and bool(one_host)


def fault(host: str, port: int) -> OSError | None:
    """Why nobody can listen there; None if one can."""
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(address[0], socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed one's last packets
            probe.bind(address[4])
    except OSError as error:
        return error
    return None


def check_ports(settings: Settings, *tiers: TierName) -> None:
    """PortTakenError naming the setting of the first port on which these tiers can't listen."""
    listeners = [listener for tier in tiers for listener in _listeners(settings, tier)]
    for one, other in combinations(listeners, 2):
        if one.meets(other):
            raise PortTakenError(
                f"{one.port_setting} and {other.port_setting} are both {one.port}: set one to another."
            )
    for listener in listeners:
        if error := fault(listener.host, listener.port):
            raise PortTakenError(_told(listener, error)) from error


def _told(listener: Listener, error: OSError) -> str:
    port = f"Port {listener.port} on {listener.host}, for the {listener.name},"
    if error.errno == errno.EADDRINUSE:
        return f"{port} is taken: set {listener.port_setting} to another."
    settings = f"{listener.host_setting} and {listener.port_setting}"
    return f"{port} can't be listened on ({error.strerror}): see {settings}."


def _listeners(settings: Settings, tier: TierName) -> Iterator[Listener]:
    if tier == "gateway":
        name, host, port = "gateway", settings.gateway_host, settings.gateway_port
        metrics, metrics_setting = settings.metrics_port, "SEPAL_METRICS_PORT"
    else:
        name, host, port = "model server", settings.model_server_host, settings.model_server_port
        metrics, metrics_setting = settings.model_server_metrics_port, "SEPAL_MODEL_SERVER_METRICS_PORT"
    prefix = f"SEPAL_{tier.upper()}"
    yield Listener(name, host, port, f"{prefix}_HOST", f"{prefix}_PORT")
    if metrics is not None:
        of_metrics = "SEPAL_METRICS_HOST" if settings.metrics_host else f"{prefix}_HOST"
        yield Listener(
            f"{name}'s metrics", settings.metrics_host or host, metrics, of_metrics, metrics_setting
        )
