"""Each tier as a process of its own, to be killed, stopped and started again."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import psutil

from tests.ports import free_port
from tests.tiers import Place

_ROOT = Path(__file__).parents[2]
_READY = {"sepal.gateway": "/readyz", "sepal.model_server": "/models"}
_POLL = 0.02
_START, _STOP = 60.0, 30.0
"""Seconds that a tier may take to start, and to stop."""


@dataclass
class Tier:
    """One tier: `python -m` its module, with all processes that come of it. Its log is added to a file."""

    module: str
    environment: dict[str, str]
    port: int
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and don't wait."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def ready(self) -> float:
        """Wait until it answers; when that was, by the monotonic clock."""
        assert self.process is not None
        end = time.monotonic() + _START
        timeout = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while time.monotonic() < end and self.process.poll() is None:
                with suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
                    async with session.get(self.url + _READY[self.module]) as response:
                        if response.status == 200:
                            return time.monotonic()
                await asyncio.sleep(_POLL)
        raise AssertionError(f"{self.module} did not start:\n{self.log.read_text()[-3000:]}")

    def processes(self) -> list[psutil.Process]:
        """All its processes that are alive, the first one first."""
        with suppress(psutil.NoSuchProcess):
            if self.process is not None:
                first = psutil.Process(self.process.pid)
                found = [first, *first.children(recursive=True)]
                return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]
        return []

    def send(self, number: signal.Signals) -> None:
        """A signal to each of its processes."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    async def kill(self) -> None:
        """kill -9 all of it."""
        self.send(signal.SIGKILL)
        await self.ended()

    def terminate(self) -> None:
        """SIGTERM to its first process, as an orchestrator sends it."""
        assert self.process is not None
        self.process.terminate()

    async def ended(self) -> int:
        """Wait for its end; its exit code."""
        assert self.process is not None
        return await asyncio.wait_for(asyncio.to_thread(self.process.wait), _STOP)

    def clean_up(self) -> None:
        """Leave nothing of it."""
        processes = self.processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=5)
        if self.process is not None:
            self.process.wait()


def environment_of(place: Place, **settings: object) -> dict[str, str]:
    """A place's environment, with the project importable, not measured for coverage, and these settings."""
    clean = {name: value for name, value in place.environment.items() if not name.startswith("COV")}
    path = os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])
    changes = {f"SEPAL_{name.upper()}": str(value) for name, value in settings.items()}
    return {**clean, "SEPAL_MODELS": "iris", "PYTHONPATH": path, **changes}


def model_server(place: Place, **settings: object) -> Tier:
    """A model server that is not started yet, on a port of its own."""
    port = free_port()
    environment = environment_of(place, model_server_port=port, **settings)
    return Tier("sepal.model_server", environment, port, place.data_dir / f"model_server_{port}.log")


def gateway(place: Place, upstream: str, **settings: object) -> Tier:
    """A gateway that is not started yet, on a port of its own, with its model server at a URL."""
    port = free_port()
    environment = environment_of(place, gateway_port=port, model_server_url=upstream, **settings)
    return Tier("sepal.gateway", environment, port, place.data_dir / f"gateway_{port}.log")


def elsewhere(tier: Tier) -> Tier:
    """The same model server on another port, not started."""
    port = free_port()
    environment = {**tier.environment, "SEPAL_MODEL_SERVER_PORT": str(port)}
    return replace(tier, environment=environment, port=port, process=None)


@contextmanager
def cleaned_up(*tiers: Tier) -> Iterator[None]:
    """Leave nothing of these at the end, whatever happens."""
    try:
        yield
    finally:
        for tier in tiers:
            tier.clean_up()


@asynccontextmanager
async def running(*tiers: Tier) -> AsyncIterator[None]:
    """Tiers from ready, one after the other, to their end."""
    with cleaned_up(*tiers):
        for tier in tiers:
            tier.start()
            await tier.ready()
        yield
