"""Starts a system, watches all its processes, and stops every one of them."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_MARK = "SEPAL_BENCHMARK_RUN"
_STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Usage:
    """What all processes of a system have used: CPU in seconds since their start, RSS in bytes.

    RSS is summed over processes, so memory that they share counts once for each.
    """

    cpu: float
    rss: int
    fds: int
    processes: int


class Running:
    """A system that was started: its first process, and all that came of it."""

    def __init__(self, process: "subprocess.Popen[bytes]", mark: str, log: Path) -> None:
        self._process = process
        self._mark = mark
        self._log = log

    @property
    def alive(self) -> bool:
        """Whether its first process still runs."""
        return self._process.poll() is None

    def wait(self) -> None:
        """Return when its first process ended by itself."""
        self._process.wait()

    def last_words(self, lines: int = 15) -> str:
        """The end of what it printed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def processes(self) -> list[psutil.Process]:
        """Its first process, the descendants, and those that left the tree but carry our mark."""
        found: set[psutil.Process] = set()
        with suppress(psutil.Error):
            root = psutil.Process(self._process.pid)
            found = {root, *root.children(recursive=True)}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(_MARK) == self._mark:
                    found.add(process)
        return [process for process in found if _is_alive(process)]

    def usage(self) -> Usage:
        """CPU, memory and file descriptors of all processes together."""
        cpu, rss, fds, count = 0.0, 0, 0, 0
        for process in self.processes():
            with suppress(psutil.Error):
                times = process.cpu_times()
                cpu += times.user + times.system
                rss += process.memory_info().rss
                fds += process.num_fds()
                count += 1
        return Usage(cpu, rss, fds, count)

    def stop(self) -> None:
        """Ask the first process to end, wait, then kill what is left."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        left = self.processes()
        for process in left:
            with suppress(psutil.Error):
                process.terminate()
        _, alive = psutil.wait_procs(left, timeout=5)
        for process in alive:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=5)
        self._process.wait(5)


@contextmanager
def running(
    command: list[str], environment: Mapping[str, str], folder: Path, log: Path
) -> Iterator[Running]:
    """A command from its start to the end of all its processes.

    It has a session of its own, so that Ctrl-C reaches the benchmark alone, which then stops it.
    """
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**environment, _MARK: mark},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        system = Running(process, mark, log)
        try:
            yield system
        finally:
            system.stop()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False
