"""Sepal alone under half its load for a long time, to see whether memory or file descriptors grow."""

import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from loadtest.bench import wrk
from loadtest.bench.processes import Running

CONCURRENCY = 64
_PROBE_SECONDS = 5
_LOOKS = 120


@dataclass(frozen=True)
class Look:
    """What Sepal's processes held at one moment: RSS in MiB."""

    seconds: float
    rss: float
    fds: int


@dataclass(frozen=True)
class Soak:
    """A soak's load and what was seen of it."""

    most: float
    """Requests/s without pauses, before the soak."""
    load: wrk.Load
    looks: list[Look]

    def growth(self) -> tuple[float, float]:
        """From the second tenth of the time to the last: RSS in MiB, and file descriptors.

        The first tenth is left out: caches and pools fill then.
        """
        tenth = max(1, len(self.looks) // 10)
        early, late = self.looks[tenth : 2 * tenth] or self.looks[:1], self.looks[-tenth:]
        rss = median(look.rss for look in late) - median(look.rss for look in early)
        return rss, median(look.fds for look in late) - median(look.fds for look in early)


def soak(processes: Running, url: str, body: Path, minutes: float) -> Soak:
    """Find what Sepal does at most, then ask half of it, with pauses, for so many minutes."""
    most = wrk.run(url, body, CONCURRENCY, _PROBE_SECONDS).per_second
    lone = wrk.run(url, body, 1, _PROBE_SECONDS).p50
    pause = max(1, round(1000 * CONCURRENCY / (most / 2) - lone))
    seconds = minutes * 60
    with wrk.started(wrk.command(url, body, CONCURRENCY, seconds, pause)) as process:
        looks = list(_watch(processes, seconds))
        output, _ = process.communicate(timeout=60)
    return Soak(most, wrk.parse(output), looks)


def write(soaked: Soak, file: Path) -> None:
    """Every look as CSV."""
    with file.open("w", newline="") as output:
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(("seconds", "rss_mib", "fds"))
        writer.writerows((round(look.seconds, 1), round(look.rss, 1), look.fds) for look in soaked.looks)


def _watch(processes: Running, seconds: float) -> Iterator[Look]:
    start = time.monotonic()
    pause = max(1.0, seconds / _LOOKS)
    while (now := time.monotonic() - start) < seconds - pause / 2:
        usage = processes.usage()
        yield Look(now, usage.rss / 2**20, usage.fds)
        time.sleep(pause)
