"""Runs both tiers, and a worker if asked for: starts them, restarts what dies, stops them cleanly."""

import asyncio
import http.client
import json
import os
import signal
import socket
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sepal.contracts import Contract
from sepal.draining import HURRY
from sepal.errors import ConfigurationError
from sepal.ports import check_ports, fault
from sepal.settings import Settings
from sepal.settings.urls import base_url
from sepal.tls import check_server_files, upstream_context

_POLL = 0.1
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
"""Seconds between a tier's death and its restart: doubled each time that it did not run for a while."""
_STABLE = 5.0
_ORPHANS = 5.0
"""Seconds in which the workers of a process that was killed end by themselves, or are killed too."""
_LINGER = 1.0
"""The same at the stop: whoever ends cleanly has waited for its workers, and leaves next to nothing."""
_KILL_AFTER = 8.0
"""Seconds beyond its stop timeout after which a tier is killed: for its last connections, log and spans."""


@dataclass(frozen=True)
class Tier:
    """One of the processes; the worker of jobs listens nowhere."""

    name: str
    module: str
    host: str = ""
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Where it listens."""
        return base_url(self.scheme, self.host, self.port)


class Supervisor:
    """Both tiers, from start to stop. `say` takes each line for the person who watches.

    If there is nobody to read it any more, or no room on the disk, both go on all the same.
    """

    def __init__(
        self,
        settings: Settings,
        contracts: Mapping[str, Contract],
        say: Callable[[str], None],
        *,
        worker: bool = False,
    ) -> None:
        self._settings = settings
        self._worker = Tier("worker", "sepal.jobs") if worker else None
        self._contracts = contracts
        self._tell = say
        self._environment = {**os.environ, "SEPAL_MODELS": ",".join(contracts)}
        self._hurry = asyncio.Event()
        self._misset: Tier | None = None
        self._gateway = Tier(
            "gateway",
            "sepal.gateway",
            settings.gateway_host,
            settings.gateway_port,
            "https" if settings.gateway_tls_certificate else "http",
        )
        self._model_server = Tier(
            "model server",
            "sepal.model_server",
            settings.model_server_host,
            settings.model_server_port,
            "https" if settings.model_server_tls_certificate else "http",
        )

    def _say(self, line: str) -> None:
        with suppress(OSError):
            self._tell(line)

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM. PortTakenError if a port is in use.

        ConfigurationError if a tier says at its first start that it can't work so.
        At SIGINT a person waits, so that the gateway stops without a delay for load balancers.
        """
        check_server_files(self._settings, "gateway")
        check_server_files(self._settings, "model_server")
        self._to_model_server = upstream_context(self._settings)
        check_ports(self._settings, "model_server", "gateway")
        stop_gateway, stop_model_server = asyncio.Event(), asyncio.Event()

        def hurry() -> None:
            self._hurry.set()
            stop_gateway.set()

        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, hurry)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop_gateway.set)
        async with asyncio.TaskGroup() as tasks:
            give_up = stop_gateway.set
            tasks.create_task(self._keep_running(self._model_server, stop_model_server, give_up))
            if self._worker is not None:
                tasks.create_task(self._keep_running(self._worker, stop_model_server, give_up))
            announcing = tasks.create_task(self._announce())
            await self._keep_running(self._gateway, stop_gateway, give_up)
            announcing.cancel()
            stop_model_server.set()  # last, since the gateway's requests in flight need it
        self._say("Stopped.")
        if self._misset is not None:
            raise ConfigurationError(
                f"The {self._misset.name} can't start as it is set; it says why above."
            )

    async def _keep_running(self, tier: Tier, stop: asyncio.Event, give_up: Callable[[], None]) -> None:
        pause, first = _FIRST_PAUSE, True
        now = asyncio.get_running_loop().time
        while not stop.is_set():
            started = now()
            code = await self._run(tier, stop)
            if stop.is_set():
                return
            if first and code == ConfigurationError.exit_code:
                self._misset = tier
                give_up()
                return
            pause = _FIRST_PAUSE if now() - started > _STABLE else min(2 * pause, _LONGEST_PAUSE)
            if code is not None:
                first = False
                self._say(f"The {tier.name} ended with code {code}; starting it again.")
            await _comes_before(stop, asyncio.sleep(pause))
            await _comes_before(stop, _until_free(tier))

    async def _run(self, tier: Tier, stop: asyncio.Event) -> int | None:
        """One process of a tier, from its start to its end or the stop; its code, None without a start."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", tier.module, env=self._environment_of(tier), start_new_session=True
            )
        except OSError as error:
            self._say(f"The {tier.name} can't be started ({error.strerror}); trying again.")
            return None
        ended = False
        try:
            ended = await _comes_before(stop, process.wait())
        finally:  # whatever has happened here, nothing is left that nobody looks after
            if process.returncode is None:
                await self._stop(tier, process)
            await _end_orphans(process.pid, tier if ended else None, stop)
        return process.returncode

    def _environment_of(self, tier: Tier) -> dict[str, str]:
        if tier is self._gateway:
            return self._environment
        return {**self._environment, "SEPAL_DRAIN_DELAY": "0"}  # its one client is the gateway here

    async def _stop(self, tier: Tier, process: asyncio.subprocess.Process) -> None:
        _send(process, signal.SIGTERM)
        hurrying = asyncio.create_task(self._hurry_on(tier, process))
        seconds = self._settings.drain_delay + self._settings.stop_timeout + _KILL_AFTER
        try:
            await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            self._say(f"The {tier.name} does not stop; killing it.")
            _kill_session(process.pid)
            await process.wait()
        finally:
            hurrying.cancel()

    async def _hurry_on(self, tier: Tier, process: asyncio.subprocess.Process) -> None:
        """Spare the gateway its delay once a person waits, be it later than the stop."""
        if tier is self._gateway:
            await self._hurry.wait()
            _send(process, HURRY)

    async def _announce(self) -> None:
        """Say when every model answers; or, once the model server is up, which does not and why."""
        now = asyncio.get_running_loop().time
        late = now() + self._settings.start_timeout
        while True:
            models = await asyncio.to_thread(self._models)
            if await asyncio.to_thread(self._is_ready, models):
                break
            if errors := [said["error"] for said in models.values() if "error" in said]:
                for error in errors:
                    self._say(f"Not ready: {error}")
                return
            if now() > late:
                late = float("inf")
                self._say(f"Not ready after {self._settings.start_timeout:g} seconds; still waiting.")
            await asyncio.sleep(_POLL)
        self._say_ready()

    def _models(self) -> dict[str, Any]:
        """What the model server says of each model; nothing if it does not answer."""
        return _get(f"{self._model_server.url}/models", self._to_model_server)[1]

    def _is_ready(self, models: Mapping[str, Any]) -> bool:
        """Whether the gateway says so; or, if it talks only to clients with certificates, seems so."""
        if self._settings.gateway_tls_client_ca is not None:
            return (
                bool(models)
                and not any("error" in said for said in models.values())
                and _listens(self._gateway)
            )
        anybody = ssl.create_default_context()
        anybody.check_hostname = False
        anybody.verify_mode = ssl.CERT_NONE  # it was started here, and may be named for the world alone
        return _get(f"{self._gateway.url}/readyz", anybody)[0] == 200

    def _say_ready(self) -> None:
        contract = next(iter(self._contracts.values()))
        key = " -H 'X-API-Key: …'" if self._settings.access_is_on else ""
        self._say(
            f"Ready. Open {self._gateway.url}/docs, or try\n\n"
            f"  curl -s {self._gateway.url}/{contract.name}/predict"
            f" -H 'Content-Type: application/json'{key} -d '{json.dumps(contract.example)}'\n\n"
            "Ctrl-C stops both tiers."
        )


async def _comes_before(stop: asyncio.Event, awaited: Awaitable[object]) -> bool:
    """Wait for either; whether the awaited came, and not only the stop."""
    tasks = asyncio.ensure_future(awaited), asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    return tasks[0] in done


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


async def _end_orphans(process: int, tier: Tier | None, stop: asyncio.Event) -> None:
    """See to it that nothing is left of the session of a process that has ended.

    Its workers end by themselves, or are killed. If it was killed and is to be followed by
    another of its `tier`, they may go on with what is under way once they let go of the port.
    """
    now = asyncio.get_running_loop().time
    late = now() + (_ORPHANS if tier else _LINGER)
    while now() < late and _session_lives(process):
        if tier and tier.port and not stop.is_set() and not fault(tier.host, tier.port):
            return
        await asyncio.sleep(_POLL)
    _kill_session(process)


def _session_lives(process: int) -> bool:
    try:
        os.killpg(process, 0)
    except ProcessLookupError:
        return False
    return True


def _kill_session(process: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def _listens(tier: Tier) -> bool:
    try:
        socket.create_connection((tier.host, tier.port), timeout=5).close()
    except OSError:
        return False
    return True


async def _until_free(tier: Tier) -> None:
    while tier.port and fault(tier.host, tier.port):  # noqa: ASYNC110 (nobody tells when a port is free)
        await asyncio.sleep(_POLL)


def _get(url: str, context: ssl.SSLContext) -> tuple[int, dict[str, Any]]:
    """Status and JSON object at a URL; status 0 if nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as response:  # noqa: S310 (our own tiers)
            told = json.load(response)
            return response.status, told if isinstance(told, dict) else {}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {}
    except (OSError, ValueError, http.client.HTTPException):  # the last if a tier dies while it answers
        return 0, {}
