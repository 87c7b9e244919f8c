"""Rounds of starting a system, checking it, loading it at every point, and stopping it."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.bench import wrk
from loadtest.bench.environments import InstallError, python_of, versions
from loadtest.bench.processes import Running, free_port, running
from loadtest.bench.questions import MANY, WrongAnswerError, check, wait_until_ready, write_bodies
from loadtest.bench.results import Point, Sample
from loadtest.bench.systems import ROOT, Place, System, environment_of

_MIB = 2**20
_WARM_UP_SECONDS = 1.0
_START_SECONDS = 8.0
"""About what starting, checking and stopping a system takes; for the estimate alone."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    systems: tuple[System, ...]
    points: tuple[Point, ...]
    rounds: int
    seconds: float
    brief: bool = False
    """Warm up once after each start, not before each point."""

    def order(self, number: int) -> list[Point]:
        """The points of one round, shuffled; the same for every system, other in each round.

        What a server saw before a point can change what it does at it: BentoML's adaptive batching
        learns from past load, and a lone request is then now answered at once, now made to wait.
        """
        return random.Random(number).sample(self.points, len(self.points))

    @property
    def estimate(self) -> float:
        """About how many seconds it takes, without installing peers."""
        warm_ups = 1 if self.brief else len(self.points)
        each = _START_SECONDS + len(self.points) * self.seconds + warm_ups * _WARM_UP_SECONDS
        return len(self.systems) * self.rounds * each


@dataclass
class Found:
    """What a run gave so far."""

    samples: dict[tuple[str, Point], list[Sample]] = field(default_factory=lambda: defaultdict(list))
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)

    def exclude(self, system: System, why: str, say: Say) -> None:
        """Leave a system out, and drop what it gave: a wrong answer's speed says nothing."""
        self.excluded[system.name] = why
        for key in [key for key in self.samples if key[0] == system.name]:
            del self.samples[key]
        say(f"\n!!! {system.title} IS EXCLUDED: {why}\n")


class Bench:
    """Measures a plan. `folder` is for the systems' data, `logs` for what they print."""

    def __init__(self, folder: Path, logs: Path, say: Say) -> None:
        self._folder = folder
        self._logs = logs
        self._say = say
        self._pythons: dict[str, Path] = {}
        self._prepared: set[str] = set()

    def install(self, plan: Plan, found: Found) -> None:
        """Make the peers' environments where they are missing; leave out what can't be installed."""
        for system in plan.systems:
            try:
                python = python_of(system)
            except InstallError as error:
                found.exclude(system, f"it can't be installed: {error}", self._say)
                continue
            self._pythons[system.name] = python
            found.versions[system.name] = versions(system, python)

    def measure(self, plan: Plan, found: Found) -> Iterator[int]:
        """Measure round by round, A B C A B C …; yields each round's number when it is done."""
        for number in range(1, plan.rounds + 1):
            for system in plan.systems:
                if system.name in found.excluded:
                    continue
                self._say(f"round {number} of {plan.rounds}: {system.title}")
                try:
                    for point, sample in self._one_round(system, plan, number):
                        found.samples[system.name, point].append(sample)
                except (WrongAnswerError, wrk.WrkError) as error:
                    found.exclude(system, str(error), self._say)
            yield number

    @contextmanager
    def started(self, system: System) -> Iterator[tuple[Running, int, dict[int, Path]]]:
        """A system that runs and answers right: its processes, its port, and the bodies to post."""
        place = self._place(system)
        environment = environment_of(system, place)
        log = self._logs / f"{system.name}.log"
        if system.prepare and system.name not in self._prepared:
            with running(system.prepare(place), environment, ROOT, log) as preparing:
                preparing.wait()
            self._prepared.add(system.name)
        with running(system.command(place), environment, ROOT, log) as processes:
            wait_until_ready(system, processes, place.ports[0])
            check(system, place.ports[0])
            yield processes, place.ports[0], write_bodies(system, place.folder)

    def _place(self, system: System) -> Place:
        folder = self._folder / system.name
        folder.mkdir(exist_ok=True)
        return Place(self._pythons[system.name], folder, (free_port(), free_port(), free_port()))

    def _one_round(self, system: System, plan: Plan, number: int) -> Iterator[tuple[Point, Sample]]:
        with self.started(system) as (processes, port, bodies):
            urls = {
                1: f"http://127.0.0.1:{port}{system.path}",
                MANY: f"http://127.0.0.1:{port}{system.path_many}",
            }
            for place, point in enumerate(plan.order(number)):
                url, body = urls[point.rows], bodies[point.rows]
                if place == 0 or not plan.brief:
                    wrk.run(url, body, point.concurrency, _WARM_UP_SECONDS)
                sample = _load(processes, url, body, point, plan.seconds)
                self._say(f"  {point}: {sample.per_second:,.0f} requests/s, p50 {sample.p50:.2f} ms")
                yield point, sample
            check(system, port)


def _load(processes: Running, url: str, body: Path, point: Point, seconds: float) -> Sample:
    before = processes.usage()
    load = wrk.run(url, body, point.concurrency, seconds)
    after = processes.usage()
    return Sample(
        per_second=load.per_second,
        p50=load.p50,
        p99=load.p99,
        errors=load.errors,
        cpu_per_1000=1000 * (after.cpu - before.cpu) / load.requests if load.requests else 0.0,
        rss=after.rss / _MIB,
    )
