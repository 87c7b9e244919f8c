"""Samples of every round, their medians, and the ratios that Sepal must reach."""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, order=True)
class Point:
    """One way to load a system: connections at once, rows in each request."""

    rows: int
    concurrency: int

    def __str__(self) -> str:
        return f"{self.rows:,} row{'s' if self.rows > 1 else ''}, concurrency {self.concurrency}"


@dataclass(frozen=True)
class Sample:
    """What one system did at one point: latencies in ms, CPU in seconds, RSS in MiB."""

    per_second: float
    p50: float
    p99: float
    errors: int
    cpu_per_1000: float
    rss: float


Samples = Mapping[tuple[str, Point], list[Sample]]
Medians = Mapping[tuple[str, Point], Sample]


def medians(samples: Samples) -> dict[tuple[str, Point], Sample]:
    """The median of each figure over the rounds; errors are added up."""
    return {key: _median(rounds) for key, rounds in samples.items() if rounds}


def _median(rounds: Iterable[Sample]) -> Sample:
    rounds = list(rounds)
    return Sample(
        per_second=median(sample.per_second for sample in rounds),
        p50=median(sample.p50 for sample in rounds),
        p99=median(sample.p99 for sample in rounds),
        errors=sum(sample.errors for sample in rounds),
        cpu_per_1000=median(sample.cpu_per_1000 for sample in rounds),
        rss=median(sample.rss for sample in rounds),
    )


@dataclass(frozen=True)
class Verdict:
    """One thing that Sepal must reach, and what it reached; None where it was not measured."""

    at: str
    against: str
    what: str
    relation: str
    bound: float
    reached: float | None

    @property
    def passed(self) -> bool | None:
        """Whether the bound holds."""
        if self.reached is None:
            return None
        return bool(_RELATIONS[self.relation](self.reached, self.bound))


_RELATIONS: dict[str, Callable[[float, float], bool]] = {"≥": operator.ge, "≤": operator.le}

_AT_1, _AT_64, _AT_256 = Point(1, 1), Point(1, 64), Point(1, 256)


def verdicts(found: Medians, peers: Iterable[str], titles: Mapping[str, str]) -> list[Verdict]:
    """Sepal's ratios against the others, each with the bound that it must reach."""
    best = max(
        (peer for peer in peers if (peer, _AT_64) in found),
        key=lambda peer: found[peer, _AT_64].per_second,
        default=None,
    )
    best_title = f"the best peer: {titles[best]}" if best else "the best peer"
    rate, p50, p99 = _getter("per_second"), _getter("p50"), _getter("p99")
    sepal, two_tier, one_tier, empty = "sepal", "two_tier", "one_tier", "empty"
    bounds: list[tuple[Point, str, str, str, float, float | None]] = [
        (_AT_64, "plain two-tier", "requests/s", "≥", 18, _ratio(found, rate, sepal, two_tier, _AT_64)),
        (_AT_64, "one tier", "requests/s", "≥", 8, _ratio(found, rate, sepal, one_tier, _AT_64)),
        (_AT_64, "empty FastAPI", "requests/s", "≥", 1.6, _ratio(found, rate, sepal, empty, _AT_64)),
        (_AT_64, best_title, "requests/s", "≥", 7, _ratio(found, rate, sepal, best or "", _AT_64)),
        (_AT_1, "plain two-tier", "requests/s", "≥", 30, _ratio(found, rate, sepal, two_tier, _AT_1)),
        (_AT_1, "one tier", "p50", "≤", 1.0, _ratio(found, p50, sepal, one_tier, _AT_1)),
        (_AT_256, "its own at 64", "requests/s", "≥", 1.2, _own(found, rate)),
        (_AT_256, "its own at 64", "p99", "≤", 4, _own(found, p99)),
    ]
    listed = [
        Verdict(str(at), against, what, relation, b, r) for at, against, what, relation, b, r in bounds
    ]
    errors = [sample.errors for (name, _), sample in found.items() if name == "sepal"]
    none = Verdict("every point", "nothing", "errors", "≤", 0, sum(errors) if errors else None)
    return [*listed, _rows_per_second(found), none]


def _getter(figure: str) -> Callable[[Sample], float]:
    return operator.attrgetter(figure)


def _ratio(
    found: Medians,
    figure: Callable[[Sample], float],
    of: str,
    to: str,
    at: Point,
    below: Point | None = None,
) -> float | None:
    above, divisor = found.get((of, at)), found.get((to, below or at))
    if above is None or divisor is None or not figure(divisor):
        return None
    return figure(above) / figure(divisor)


def _own(found: Medians, figure: Callable[[Sample], float]) -> float | None:
    return _ratio(found, figure, "sepal", "sepal", _AT_256, _AT_64)


def _rows_per_second(found: Medians) -> Verdict:
    """Rows/s of large requests, at their better concurrency, against those of one-row requests at 64."""
    large = {
        point: sample.per_second * point.rows
        for (name, point), sample in found.items()
        if name == "sepal" and point.rows > 1
    }
    small = found.get(("sepal", _AT_64))
    best = max(large, key=lambda point: large[point], default=None)
    reached = large[best] / small.per_second if best and small and small.per_second else None
    at = str(best) if best else "1,000 rows"
    return Verdict(at, "its own one-row requests at 64", "rows/s", "≥", 25, reached)
