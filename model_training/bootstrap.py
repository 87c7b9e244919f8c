"""Bootstrap intervals of metrics: how far they might lie elsewhere, had other rows been held out."""

from dataclasses import dataclass

import numpy as np

from model_training.tables import Floats

RESAMPLES = 2000
CONFIDENCE = 0.95

_SEED = 0
_MOST_GROUPS = 10_000
"""With more rows than that, groups of rows are drawn in their place: as good, and quick."""


@dataclass(frozen=True)
class Estimate:
    """A metric on the held-out rows, and the interval that has it with a confidence of 95 %."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def estimate(
    root: bool, losses: Floats, *, less: Floats | None = None, divided_by: Floats | None = None
) -> Estimate:
    """The mean of losses of shape (n_rows,), or its root; or its difference from or ratio to another's.

    Both of a pair are taken from the same rows each time, which is what makes a small
    difference visible. The percentile method; the same losses give the same interval.
    """
    other = less if less is not None else divided_by
    means = resampled_means(np.column_stack((losses,) if other is None else (losses, other)))
    metrics = np.sqrt(means) if root else means
    if less is not None:
        found = metrics[:, 0] - metrics[:, 1]
    elif divided_by is not None:
        found = metrics[:, 0] / np.maximum(metrics[:, 1], np.finfo(np.float64).tiny)
    else:
        found = metrics[:, 0]
    return interval(found)


def interval(found: Floats) -> Estimate:
    """The estimate from a metric of shape (1 + RESAMPLES,), the first of all rows as they are."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found[1:], (tail, 1 - tail))
    return Estimate(float(found[0]), float(low), float(high))


def resampled_means(columns: Floats) -> Floats:
    """Means over all rows and then over rows drawn with replacement: (1 + RESAMPLES, n_columns)."""
    sums, sizes = _grouped(columns)
    draw = np.random.default_rng(_SEED)
    means = np.empty((1 + RESAMPLES, columns.shape[1]))
    means[0] = columns.mean(axis=0)
    for at in range(1, 1 + RESAMPLES):
        times = np.bincount(draw.integers(0, len(sizes), len(sizes)), minlength=len(sizes)).astype(
            np.float64
        )
        means[at] = times @ sums / (times @ sizes)
    return means


def _grouped(columns: Floats) -> tuple[Floats, Floats]:
    """The sums and sizes of groups of rows: each row is one, or of many rows as many belong to one."""
    n_rows = len(columns)
    if n_rows <= _MOST_GROUPS:
        return columns, np.ones(n_rows)
    shuffled = columns[np.random.default_rng(_SEED).permutation(n_rows)]
    starts = np.linspace(0, n_rows, _MOST_GROUPS, endpoint=False).astype(np.intp)
    return np.add.reduceat(shuffled, starts), np.diff(starts, append=n_rows).astype(np.float64)
