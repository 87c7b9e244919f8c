"""A version's metrics beside the champion's on the same held-out rows, each with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model_training.bootstrap import Estimate, interval, resampled_means
from model_training.gate import HIGHER_IS_BETTER, ROOTS
from model_training.pipelines.findings import Findings
from model_training.tables import Floats
from sepal.contracts import Labels
from sepal.registry.versions import Version

_MEANINGS = {
    "accuracy": "share of the rows that are answered right",
    "log_loss": "mean of -ln(probability of the true label), in nats",
    "rmse": "root of the mean squared error, in {unit}",
    "mae": "mean absolute error, in {unit}",
    "rmse_of_mean": "rmse of always answering the mean of the training rows, in {unit}",
}
BASELINES = frozenset({"rmse_of_mean"})
"""Metrics of the data and of no pipeline: a version has the same as its champion."""


@dataclass(frozen=True)
class Measured:
    """One metric: as the registry has it, and by how much it might be otherwise on other test rows."""

    name: str
    meaning: str
    train: float | None
    test: float
    own: Estimate
    champion: Estimate | None
    difference: Estimate | None
    """This version's less the champion's."""


def measured(version: Version, findings: Findings) -> Sequence[Measured]:
    """The metrics of a version. All are resampled together, so each pair is from the same rows."""
    test = version.metrics["test"]
    names = [name for name in test if name in findings.losses]
    theirs = findings.rival.losses if findings.rival else {}
    compared = [name for name in names if name in theirs and name not in BASELINES]
    columns = [findings.losses[name] for name in names] + [theirs[name] for name in compared]
    means = resampled_means(np.column_stack(columns).astype(np.float64))
    found = [
        np.sqrt(mean) if name in ROOTS else mean
        for name, mean in zip([*names, *compared], means.T, strict=True)
    ]
    own = dict(zip(names, found, strict=False))
    others: dict[str, Floats] = dict(zip(compared, found[len(names) :], strict=True))
    target = findings.contract.target
    unit = "" if isinstance(target, Labels) else target.unit
    return [
        Measured(
            name,
            f"{_MEANINGS[name].format(unit=unit)}; {_better(name)}",
            version.metrics["train"].get(name),
            test[name],
            interval(own[name]),
            interval(others[name]) if name in others else None,
            interval(own[name] - others[name]) if name in others else None,
        )
        for name in names
    ]


def _better(name: str) -> str:
    if name in BASELINES:
        return "for comparison"
    return "more is better" if name in HIGHER_IS_BETTER else "less is better"
