"""A folder through which the processes of a tier share their counts, so that each can tell the total.

Each process writes its own file again and again. What is told is always what has been
written: so a total never goes back, whichever process tells it.
"""

import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sepal.telemetry.metrics import Metrics, Snapshot

FOLDER_VARIABLE = "_SEPAL_METRICS_FOLDER"
"""By it whoever starts the processes names the folder to them. It is no setting: each start has its own."""

EVERY = 0.5
"""Seconds between two times that a process writes its file: what `kill -9` may lose."""

STALE = 5.0
"""Seconds without a sign of life after which a process's gauges count no more."""

_NEW = 60.0
"""Seconds for which a folder is left alone that nobody holds yet."""

_PREFIX = "sepal-metrics-"
_ENDED = "ended.json"


def make_folder() -> Path:
    """A new folder for the processes that this one starts, once those of dead ones are swept."""
    place = Path(tempfile.gettempdir())
    for folder in place.glob(f"{_PREFIX}*"):
        if re.fullmatch(rf"{_PREFIX}\d+-.*", folder.name):
            _sweep(folder)
    made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))
    hold(made)
    return made


def hold(folder: Path) -> int:
    """Keep a folder from being swept until what this opens is closed, at the process's end at the latest.

    The lock tells who lives across containers that share a folder for temporary files; numbers of
    processes would not.
    """
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)
    os.set_inheritable(held, True)  # by what this process may become
    return held


def _sweep(folder: Path) -> None:
    """Remove a folder that no process holds, unless it may be about to."""
    with suppress(OSError):  # another user's, or swept by another start just now
        if time.time() - folder.stat().st_mtime < _NEW:
            return
        looked_at = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(looked_at, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(looked_at)


def environment_for(workers: int) -> dict[str, str]:
    """What the processes that this one starts must find in their environment."""
    return {FOLDER_VARIABLE: str(make_folder()) if workers > 1 else ""}


def folder_of_this_start() -> Path | None:
    """The folder that this process was told; None if it is the only one."""
    told = os.environ.get(FOLDER_VARIABLE)
    return Path(told) if told else None


class Shared:
    """The place of one process in the folder."""

    def __init__(self, folder: Path, metrics: Metrics) -> None:
        self._folder = folder
        self._metrics = metrics
        self._own = folder / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._held = hold(folder)
        with _locked(folder, fcntl.LOCK_EX):
            self._fold_the_dead()
        self.write()
        threading.Thread(target=self._run, name="metrics", daemon=True).start()

    def write(self) -> None:
        """Write this process's file."""
        with self._writing:
            new = self._own.with_suffix(".new")
            new.write_text(json.dumps(self._metrics.snapshot()), encoding="utf-8")
            new.replace(self._own)

    def close(self) -> None:
        """Write a last time, and be as dead."""
        self._stop.set()
        self.write()
        os.close(self._held)

    def snapshots(self) -> Iterator[Snapshot]:
        """What each process has written; of those that show no life no gauges."""
        self.write()
        gauges = [name for name, one in self._metrics.instruments.items() if one.kind == "gauge"]
        with _locked(self._folder, fcntl.LOCK_SH):
            for file in self._folder.glob("*.json"):
                snapshot: Snapshot = json.loads(file.read_text(encoding="utf-8"))
                if file.name == _ENDED or time.time() - file.stat().st_mtime > STALE:
                    for name in gauges:
                        snapshot.pop(name, None)
                yield snapshot

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            with suppress(OSError):  # a disk that is full; it is tried again
                self.write()

    def _fold_the_dead(self) -> None:
        """Add up the counts of processes that have ended, so that their files don't pile up.

        At a start is often enough: whoever has ended is followed by one that starts, or by none.
        """
        dead = [
            file for file in self._folder.glob("*-*.json") if not _runs(int(file.name.partition("-")[0]))
        ]
        ended = self._folder / _ENDED
        total = merged(
            [json.loads(file.read_text(encoding="utf-8")) for file in [*dead, ended] if file.exists()]
        )
        new = ended.with_suffix(".new")
        new.write_text(json.dumps(total), encoding="utf-8")
        new.replace(ended)
        for file in dead:
            file.unlink()


def merged(snapshots: list[Snapshot]) -> Snapshot:
    """Several snapshots as one: equal labels added up."""
    totals: dict[str, dict[tuple[str, ...], list[float]]] = {}
    for snapshot in snapshots:
        for name, series in snapshot.items():
            of_name = totals.setdefault(name, {})
            for labels, numbers in series:
                before = of_name.get(tuple(labels))
                of_name[tuple(labels)] = (
                    numbers if before is None else [a + b for a, b in zip(before, numbers, strict=True)]
                )
    return {
        name: [(list(labels), numbers) for labels, numbers in series.items()]
        for name, series in totals.items()
    }


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, how)
        yield


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
