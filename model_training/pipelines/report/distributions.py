"""How the values of the features and of the target are spread over the rows of training and of the test."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil

import numpy as np

from model_training.pipelines.findings import Findings
from model_training.pipelines.report.residuals import level_name
from model_training.tables import Floats
from sepal.contracts import Labels
from sepal.contracts.features import Feature

_MOST_BINS = 40
_FEWEST_BINS = 5
_MOST_LEVELS = 20
_TAIL = 0.005
_STRETCHED = 3.0
"""So many times as wide as what is between the tails a range must be for the tails to be cut off."""


@dataclass(frozen=True)
class Histogram:
    """Shares of the rows in bins: `edges` of shape (n_bins + 1,), shares of shape (n_bins,).

    `beyond` rows have a value outside the edges.
    """

    edges: Floats
    train: Floats
    test: Floats
    beyond: int
    is_time: bool = False


@dataclass(frozen=True)
class Bars:
    """Shares of the rows that have each of some values; `others` values are rarer and left out."""

    names: Sequence[str]
    train: Floats
    test: Floats
    others: int


@dataclass(frozen=True)
class Distribution:
    """One feature, or the target: what the contract says of it, and how its values are spread.

    `facts` has, in words, what is known of its values. No `spread` if no row has one.
    """

    name: str
    unit: str | None
    description: str
    facts: Sequence[str]
    spread: Histogram | Bars | None


def distributions(findings: Findings) -> Sequence[Distribution]:
    """The target's, then each feature's in the contract's order."""
    features = [
        _of_feature(column, findings.train.X[:, at], findings.test.X[:, at])
        for at, column in enumerate(findings.contract.columns)
    ]
    return [_of_target(findings), *features]


def _of_target(findings: Findings) -> Distribution:
    target, train, test = findings.contract.target, findings.train.y, findings.test.y
    if isinstance(target, Labels):
        shares = [[float((y == name).mean()) for name in target.names] for y in (train, test)]
        bars = Bars(target.names, np.array(shares[0]), np.array(shares[1]), 0)
        return Distribution(target.column, None, "The label to be answered.", (), bars)
    return Distribution(
        target.column,
        target.unit,
        "The quantity to be answered.",
        [_middle(train, test, target.unit)],
        _histogram(train, test),
    )


def _of_feature(feature: Feature, train: Floats, test: Floats) -> Distribution:
    facts = [bounds] if (bounds := bounds_in_words(feature)) else []
    if feature.optional:
        missing = [f"{np.isnan(values).mean():.1%}" for values in (train, test)]
        facts.append(f"missing: {missing[0]} of the training, {missing[1]} of the test rows")
    train, test = train[~np.isnan(train)], test[~np.isnan(test)]
    if not len(train) + len(test):
        return Distribution(feature.name, feature.unit, feature.description, facts, None)
    if feature.kind in ("category", "boolean"):
        spread: Histogram | Bars = _bars(feature, train, test)
    else:
        spread = _histogram(train, test, whole=feature.kind == "integer", is_time=feature.kind == "time")
    if feature.kind in ("number", "integer"):
        facts.append(_middle(train, test, feature.unit))
    return Distribution(feature.name, feature.unit, feature.description, facts, spread)


def bounds_in_words(feature: Feature) -> str:
    """What the contract takes, such as `the contract takes more than 0 and at most 30 cm`."""
    if feature.kind in ("category", "boolean"):
        return ""
    words = (
        ("more than", feature.greater_than),
        ("at least", feature.at_least),
        ("less than", feature.less_than),
        ("at most", feature.at_most),
    )
    said = [f"{word} {_told(feature, bound)}" for word, bound in words if bound is not None]
    unit = f" {feature.unit}" if feature.unit else ""
    return f"the contract takes {' and '.join(said)}{unit}" if said else "the contract has no bounds"


def _told(feature: Feature, bound: float) -> str:
    if feature.kind == "time":
        return f"{datetime.fromtimestamp(bound, UTC):%Y-%m-%d %H:%M}".removesuffix(" 00:00")
    return f"{bound:.15g}"


def _middle(train: Floats, test: Floats, unit: str | None) -> str:
    medians = [f"{np.median(values):.4g}" if len(values) else "none" for values in (train, test)]
    return f"median: {medians[0]} in training, {medians[1]} in the test{f', in {unit}' if unit else ''}"


def _bars(feature: Feature, train: Floats, test: Floats) -> Bars:
    """The most frequent values in the order of the contract."""
    codes, rows = np.unique(np.concatenate((train, test)), return_counts=True)
    shown = np.sort(codes[np.argsort(-rows, kind="stable")[:_MOST_LEVELS]])
    shares = [
        [float((values == code).mean()) if len(values) else 0.0 for code in shown]
        for values in (train, test)
    ]
    names = [level_name(feature, code) for code in shown]
    return Bars(names, np.array(shares[0]), np.array(shares[1]), len(codes) - len(shown))


def _histogram(train: Floats, test: Floats, *, whole: bool = False, is_time: bool = False) -> Histogram:
    both = np.concatenate((train, test))
    edges = _edges(both, whole)
    beyond = int(((both < edges[0]) | (both > edges[-1])).sum())
    shares = [np.histogram(values, edges)[0] / max(len(values), 1) for values in (train, test)]
    return Histogram(edges, shares[0], shares[1], beyond, is_time)


def _edges(values: Floats, whole: bool) -> Floats:
    """Bins over the values, but for the tails if these lie so far out that they would hide the rest."""
    low, high = float(values.min()), float(values.max())
    inner = np.quantile(values, (_TAIL, 1 - _TAIL))
    if high - low > _STRETCHED * (inner[1] - inner[0]) > 0:
        low, high = map(float, inner)
    bins = min(_MOST_BINS, max(_FEWEST_BINS, int(np.sqrt(len(values)))))
    if whole:
        width = ceil((high - low + 1) / bins)
        return np.arange(np.floor(low) - 0.5, high + 0.5 + width, width)
    if low == high:
        margin = max(0.5, abs(low) * 1e-6)
        low, high = low - margin, high + margin
    return np.linspace(low, high, bins + 1)
