"""Where the answers of a regression are off: by what they say, and by groups of rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_training.pipelines.findings import Findings
from model_training.tables import Floats
from sepal.contracts import Contract
from sepal.contracts.features import Feature

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_DOTS = 600
_MOST_GROUPS = 24
_MOST_STEPS = 31
_TIMES = {"datetime64[M]": "month", "datetime64[D]": "day", "datetime64[h]": "hour"}
_MOST_BINS = 10
_FEWEST_IN_A_BIN = 20
_SEED = 0


@dataclass(frozen=True)
class Residuals:
    """Of each test row the prediction, the truth, and how far the prediction lies above it: (n_rows,)."""

    predicted: Floats
    true: Floats

    @property
    def off(self) -> Floats:
        """Predicted less true, in the target's unit."""
        return self.predicted - self.true

    def some(self) -> npt.NDArray[np.intp]:
        """The places of all rows, or of so many that a plot of dots is still quick, always the same."""
        rows = len(self.true)
        if rows <= _DOTS:
            return np.arange(rows)
        return np.sort(np.random.default_rng(_SEED).choice(rows, _DOTS, replace=False))


@dataclass(frozen=True)
class Group:
    """Some rows: what they have in common, how many, where they lie, and the QUANTILES of their errors."""

    name: str
    rows: int
    at: float
    quantiles: Sequence[float]


@dataclass(frozen=True)
class Grouping:
    """Rows by the values of one feature. `shown` counts the rows in `groups`, which may be some of all."""

    feature: Feature
    by: str
    groups: Sequence[Group]
    all_groups: int
    shown: int


def residuals(findings: Findings) -> Residuals:
    """The errors on the test rows."""
    predicted = np.asarray(findings.pipeline.predict(findings.test.X), dtype=np.float64)
    return Residuals(predicted, findings.test.y)


def by_prediction(found: Residuals) -> Sequence[Group]:
    """Groups of about as many rows each, from low predictions to high."""
    return [
        _group("", found.off[rows], float(np.median(found.predicted[rows])))
        for rows in _equal_parts(found.predicted)
    ]


def groupings(findings: Findings, found: Residuals) -> Sequence[Grouping]:
    """The errors by each feature that the recipe groups by, or else by those that seem to be groups."""
    contract, X = findings.contract, findings.test.X
    at = {column.name: number for number, column in enumerate(contract.columns)}
    names = findings.group_by or _groups_by_themselves(contract, X)
    made = (_grouping(contract.columns[at[name]], X[:, at[name]], found.off) for name in names)
    return [grouping for grouping in made if len(grouping.groups) > 1]


def _groups_by_themselves(contract: Contract, X: Floats) -> Sequence[str]:
    """Times, and of the whole numbers and categories the one with the most values."""
    times = [column.name for column in contract.columns if column.kind == "time"]
    levels = {
        column.name: len(np.unique(X[:, at]))
        for at, column in enumerate(contract.columns)
        if column.kind in ("integer", "category", "boolean")
    }
    return [*times, *([max(levels, key=levels.__getitem__)] if levels else [])]


def _grouping(feature: Feature, values: Floats, off: Floats) -> Grouping:
    there = ~np.isnan(values)
    values, off = values[there], off[there]
    if feature.kind == "time":
        return _by_time(feature, values, off)
    if feature.kind == "number":
        parts = list(_equal_parts(values))
        groups = [
            _group(f"{values[p].min():.4g} to {values[p].max():.4g}", off[p], n)
            for n, p in enumerate(parts)
        ]
        return Grouping(feature, "tenths of the rows", groups, len(groups), len(off))
    return _by_level(feature, values, off)


def _by_level(feature: Feature, values: Floats, off: Floats) -> Grouping:
    """The levels with the most rows, the one with the lowest median error first."""
    levels, codes, rows = np.unique(values, return_inverse=True, return_counts=True)
    most = np.argsort(-rows, kind="stable")[:_MOST_GROUPS]
    groups = [_group(level_name(feature, levels[code]), off[codes == code], 0) for code in most]
    groups.sort(key=lambda group: group.quantiles[2])
    return Grouping(feature, "value", groups, len(levels), int(rows[most].sum()))


def _by_time(feature: Feature, seconds: Floats, off: Floats) -> Grouping:
    """Months if there are several, else days, else hours; the latest, if they are many."""
    moments = seconds.astype(np.int64).astype("datetime64[s]")
    unit = next((unit for unit in _TIMES if len(np.unique(moments.astype(unit))) > 1), "datetime64[h]")
    found = moments.astype(unit)
    steps, rows = np.unique(found, return_counts=True)
    latest = steps[-_MOST_STEPS:]
    groups = [_group(str(step).replace("T", " "), off[found == step], 0) for step in latest]
    return Grouping(feature, _TIMES[unit], groups, len(steps), int(rows[-_MOST_STEPS:].sum()))


def level_name(feature: Feature, code: float) -> str:
    """A value of a whole number, category or boolean in words."""
    return str(feature.decode(code))


def _group(name: str, off: Floats, at: float) -> Group:
    return Group(name, len(off), at, np.quantile(off, QUANTILES).tolist())


def _equal_parts(values: Floats) -> Iterable[npt.NDArray[np.intp]]:
    """The places of the values in parts of about as many, from low to high."""
    parts = max(1, min(_MOST_BINS, len(values) // _FEWEST_IN_A_BIN))
    return np.array_split(np.argsort(values, kind="stable"), parts) if len(values) else []
