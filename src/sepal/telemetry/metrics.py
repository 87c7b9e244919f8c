"""Counters, gauges and histograms of one process, in plain Python.

A count costs a tenth of what it costs prometheus_client's own, with their lock and, for
several processes, their mapped files; prometheus_client still writes them out
(`exposition.py`). Each instrument is changed by one thread only; any may read it.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias, TypeVar

Labels: TypeAlias = tuple[str, ...]
"""Values of an instrument's labels, in their order."""

Snapshot: TypeAlias = dict[str, list[tuple[list[str], list[float]]]]
"""For each instrument's name its labels, and the value, or of a histogram counts and sum; fit for JSON."""

Total = Literal["sum", "max"]
"""How a gauge of several processes becomes one."""

SECONDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


class Cell:
    """A counter for one set of labels."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class Counter:
    """Only ever grows. Its name ends in `_total`. `read`, if given, says where it is counted."""

    kind = "counter"

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        self.name, self.meaning, self.labels = name, meaning, labels
        self.read: Callable[[], Mapping[Labels, float]] | None = None
        self._cells: dict[Labels, Cell] = {}

    def of(self, *labels: str) -> Cell:
        """The cell of these labels; worth keeping where it is hot."""
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells[labels] = Cell()
        return cell

    def add(self, *labels: str, amount: float = 1) -> None:
        """Count."""
        self.of(*labels).value += amount

    def snapshot(self) -> list[tuple[list[str], list[float]]]:
        """What it is now."""
        if self.read is not None:
            return [(list(labels), [value]) for labels, value in self.read().items()]
        return [(list(labels), [cell.value]) for labels, cell in self._cells.copy().items()]


class Gauge:
    """A value that is read when somebody asks; `total` says what several processes' make together."""

    kind = "gauge"

    def __init__(
        self,
        name: str,
        meaning: str,
        *labels: str,
        read: Callable[[], Mapping[Labels, float]],
        total: Total = "sum",
    ) -> None:
        self.name, self.meaning, self.labels, self.total = name, meaning, labels, total
        self._read = read

    def snapshot(self) -> list[tuple[list[str], list[float]]]:
        """What it is now."""
        return [(list(labels), [value]) for labels, value in self._read().items()]


class Series:
    """A histogram for one set of labels."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Histogram:
    """How many values fell below each bound."""

    kind = "histogram"

    def __init__(self, name: str, meaning: str, *labels: str, bounds: Sequence[float] = SECONDS) -> None:
        self.name, self.meaning, self.labels, self.bounds = name, meaning, labels, bounds
        self._series: dict[Labels, Series] = {}

    def of(self, *labels: str) -> Series:
        """The series of these labels; worth keeping where it is hot."""
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = Series(self.bounds)
        return series

    def snapshot(self) -> list[tuple[list[str], list[float]]]:
        """What it is now: the counts between bounds, then the sum."""
        return [
            (list(labels), [*series.counts, series.total]) for labels, series in self._series.copy().items()
        ]


Instrument: TypeAlias = Counter | Gauge | Histogram
_I = TypeVar("_I", Counter, Gauge, Histogram)


class Metrics:
    """All instruments of a process."""

    def __init__(self) -> None:
        self.instruments: dict[str, Instrument] = {}

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """A new counter."""
        return self._add(Counter(name, meaning, *labels))

    def gauge(
        self,
        name: str,
        meaning: str,
        *labels: str,
        read: Callable[[], Mapping[Labels, float]],
        total: Total = "sum",
    ) -> Gauge:
        """A new gauge."""
        return self._add(Gauge(name, meaning, *labels, read=read, total=total))

    def histogram(
        self, name: str, meaning: str, *labels: str, bounds: Sequence[float] = SECONDS
    ) -> Histogram:
        """A new histogram."""
        return self._add(Histogram(name, meaning, *labels, bounds=bounds))

    def snapshot(self) -> Snapshot:
        """What all of them are now."""
        return {name: instrument.snapshot() for name, instrument in self.instruments.items()}

    def _add(self, instrument: _I) -> _I:
        if instrument.name in self.instruments:
            raise ValueError(f"two instruments are called {instrument.name}")
        self.instruments[instrument.name] = instrument
        return instrument
