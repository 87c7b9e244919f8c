"""Both tiers as a person runs them: `sepal train`, then `sepal serve`, on ports and data of their own."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from sepal.settings import Settings
from tests.environment import clean
from tests.ports import free_port
from tests.waiting import LONG, comes

IRIS = {"SepalLengthCm": 5, "SepalWidthCm": 2, "PetalLengthCm": 3, "PetalWidthCm": 4}
RIDE = {"PULocationID": 10, "DOLocationID": 50, "trip_distance": 40}

_DATA = Path(__file__).parents[1] / "data"
_SEPAL = str(Path(sys.executable).parent / "sepal")


@dataclass
class Place:
    """A data folder of its own, and the environment that names it."""

    data_dir: Path
    environment: dict[str, str]

    @property
    def settings(self) -> Settings:
        return Settings(data_dir=self.data_dir)

    def sepal(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [_SEPAL, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=check,
            timeout=280,  # a little less than a test has
        )

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command."""
        return subprocess.Popen(
            [_SEPAL, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def beside(self) -> "Place":
        """The same data on ports of its own."""
        ports = {f"SEPAL_{tier}_PORT": str(free_port()) for tier in ("GATEWAY", "MODEL_SERVER")}
        return Place(self.data_dir, {**self.environment, **ports})


@dataclass
class Served:
    """Both tiers running."""

    place: Place
    url: str
    process: "subprocess.Popen[str]"

    def post(self, path: str, body: object) -> Any:  # noqa: ANN401
        """The JSON answer to a JSON body."""
        return self.call(path, json.dumps(body).encode())[1]

    def call(self, path: str, data: bytes | None = None) -> tuple[int, Any]:
        """Status and JSON of one request."""
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def model_server(self) -> list[psutil.Process]:
        """The model server's processes: the one that BentoML calls arbiter first, then its workers."""
        return [
            process
            for process in psutil.Process(self.process.pid).children(recursive=True)
            if "bentoml" in " ".join(process.cmdline())
        ]


PATIENT: dict[str, object] = {"connect_timeout": 10, "ready_cache": 0}
"""Other tests keep the cores busy, and a status has no longer than connecting may take."""


def place_in(folder: Path, **settings: object) -> Place:
    """A data folder with the data that ships. A setting of None is left to its default, patience too."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in _DATA.glob("*.csv"):
        shutil.copy(file, folder)
    ports = Place(folder, {}).beside().environment
    chosen = {name: value for name, value in {**PATIENT, **settings}.items() if value is not None}
    return Place(folder, ports | clean(data_dir=folder, **chosen))


def kill(process: "subprocess.Popen[Any]") -> None:
    """Leave nothing of a process that a test has not ended."""
    if process.poll() is None:
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()  # first, or it would start others
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait()


def lives(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended and nobody asked after does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def none_left(process: "subprocess.Popen[Any]") -> Iterator[None]:
    """Whatever fails within, no process of a supervisor's is left after it."""
    try:
        yield
    finally:
        kill(process)


@contextmanager
def serving(
    place: Place,
    *arguments: str,
    until: str = "Ctrl-C stops both tiers",
    stop: signal.Signals = signal.SIGINT,
) -> Iterator[Served]:
    """`sepal serve` from the line that says it is ready to its clean end: no process and no port left."""
    process = place.start("serve", *arguments)
    url = f"http://127.0.0.1:{place.environment['SEPAL_GATEWAY_PORT']}"
    seen: list[str] = []
    ready = threading.Event()

    def read() -> None:
        """Read on to the end: the log has a line for each request, and a pipe holds a few hundred."""
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                seen.append(line)
                if until in line:
                    ready.set()
        ready.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        ready.wait()
        if not any(until in line for line in seen):
            raise AssertionError("sepal serve ended:\n" + "".join(seen))
        yield Served(place, url, process)
        processes = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(stop)
        process.wait(timeout=LONG)
        reader.join(timeout=LONG)
        assert process.returncode == 0
        assert "Stopped.\n" in seen
        assert comes(lambda: not any(lives(one) for one in processes))
        for tier in ("GATEWAY", "MODEL_SERVER"):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", int(place.environment[f"SEPAL_{tier}_PORT"])))
    finally:
        kill(process)
        reader.join()
