"""Which ports can't be listened on, told before anything starts."""

import socket
from collections.abc import Iterator

import pytest

from sepal.errors import PortTakenError
from sepal.ports import check_ports
from sepal.settings import Settings
from tests.ports import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port: int = listener.getsockname()[1]
        yield port


@pytest.fixture
def free() -> tuple[int, int]:
    """Two ports on which nobody listens."""
    return free_port(), free_port()


def test_ports_that_are_free_are(free: tuple[int, int]) -> None:
    check_ports(Settings(gateway_port=free[0], metrics_port=free[1]), "gateway")


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("gateway_port", "gateway"),
        ("model_server_port", "model server"),
        ("metrics_port", "gateway's metrics"),
        ("model_server_metrics_port", "model server's metrics"),
    ],
)
def test_a_port_that_is_taken_is_named_with_its_setting(
    taken: int, free: tuple[int, int], setting: str, name: str
) -> None:
    ports = {"gateway_port": free[0], "model_server_port": free[1], setting: taken}
    told = f"Port {taken} on 127.0.0.1, for the {name}, is taken: set SEPAL_{setting.upper()} to another."
    with pytest.raises(PortTakenError, match=f"^{told}$"):
        check_ports(Settings.model_validate(ports), "gateway", "model_server")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 (a setting that is read here)
def test_one_port_for_two_things_is_refused_with_both_settings(free: tuple[int, int], host: str) -> None:
    settings = Settings(gateway_port=free[0], metrics_port=free[0], metrics_host=host)
    with pytest.raises(
        PortTakenError, match=f"SEPAL_GATEWAY_PORT and SEPAL_METRICS_PORT are both {free[0]}"
    ):
        check_ports(settings, "gateway")


def test_a_host_that_is_not_this_machine_is_told_with_the_reason(free: tuple[int, int]) -> None:
    with pytest.raises(PortTakenError, match=r"can't be listened on \(.*\): see SEPAL_GATEWAY_HOST and"):
        check_ports(Settings(gateway_host="203.0.113.9"), "gateway")
    with pytest.raises(PortTakenError, match=r"can't be listened on \(.*\): see SEPAL_METRICS_HOST and"):
        check_ports(Settings(gateway_port=free[0], metrics_port=free[1], metrics_host="::2"), "gateway")
