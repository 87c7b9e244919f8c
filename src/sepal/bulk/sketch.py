"""A sketch of many numbers: their quantiles within 1 % of their size, in bounded memory, and mergeable.

The method is DDSketch's (Masson, Rim and Lee, VLDB 2019, https://arxiv.org/abs/1908.10693):
numbers are counted in buckets whose bounds grow by a constant factor.
"""

import math
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

_ERROR = 0.01
_GROWTH = (1 + _ERROR) / (1 - _ERROR)
_LARGEST_EXPONENT = math.log(sys.float_info.max)
_SMALLEST = 1e-9
"""Numbers nearer to zero count as zero."""


@dataclass
class Sketch:
    """Counts of numbers, by sign and power of the growth; with their sum and extremes."""

    buckets: Counter[tuple[int, int]] = field(default_factory=Counter)
    total: float = 0.0
    smallest: float = math.inf
    largest: float = -math.inf

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Self:
        """The sketch of finite numbers, (n,)."""
        if not len(values):
            return cls()
        sizes = np.abs(values)
        there = sizes >= _SMALLEST
        powers = np.zeros(len(values), dtype=np.int64)
        powers[there] = np.ceil(np.log(sizes[there]) / math.log(_GROWTH)).astype(np.int64)
        signs = np.where(there, np.sign(values), 0).astype(np.int64)
        lowest = int(powers.min())
        counts = np.bincount(3 * (powers - lowest) + signs + 1)
        buckets = Counter(
            {(int(at % 3) - 1, int(at // 3) + lowest): int(counts[at]) for at in np.flatnonzero(counts)}
        )
        return cls(buckets, float(values.sum()), float(values.min()), float(values.max()))

    def add(self, other: "Sketch") -> None:
        """Count another's numbers too."""
        self.buckets.update(other.buckets)
        self.total += other.total
        self.smallest, self.largest = min(self.smallest, other.smallest), max(self.largest, other.largest)

    @property
    def count(self) -> int:
        """How many numbers."""
        return self.buckets.total()

    def quantile(self, share: float) -> float:
        """The number below which a share of them lies."""
        rank, seen = share * (self.count - 1), 0
        for key in sorted(self.buckets, key=lambda key: key[0] * _size(key[1])):
            seen += self.buckets[key]
            if seen > rank:
                return min(max(key[0] * _size(key[1]), self.smallest), self.largest)
        raise ValueError("An empty sketch has no quantiles.")

    def describe(self) -> dict[str, float]:
        """For people: extremes and mean exactly, quantiles within 1 %."""
        if not self.count:
            return {}
        quantiles = {f"p{share * 100:g}": self.quantile(share) for share in (0.05, 0.25, 0.5, 0.75, 0.95)}
        return {
            "min": self.smallest,
            **quantiles,
            "max": self.largest,
            "mean": self.total / self.count,
        }

    def dump(self) -> dict[str, object]:
        """As JSON."""
        buckets = [[*key, count] for key, count in sorted(self.buckets.items())]
        return {"buckets": buckets, "total": self.total, "extremes": [self.smallest, self.largest]}

    @classmethod
    def load(cls, dumped: dict[str, list[list[int]] | float | list[float]]) -> Self:
        """The inverse of `dump`."""
        buckets = Counter({(sign, power): count for sign, power, count in dumped["buckets"]})  # type: ignore[union-attr, misc]
        smallest, largest = dumped["extremes"]  # type: ignore[misc]
        return cls(buckets, dumped["total"], smallest, largest)  # type: ignore[arg-type]


def _size(power: int) -> float:
    """The number in a bucket that is nearest, by proportion, to all others in it."""
    return math.exp(min(power * math.log(_GROWTH) + math.log(2 / (_GROWTH + 1)), _LARGEST_EXPONENT))
