"""Parity: whether what was exported answers as the version, on rows of training and on random ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model_training.tables import Floats
from sepal.contracts import Contract, Labels

TOLERANCE = 1e-9
"""Largest difference of a probability, and relative one of a quantity."""


@dataclass(frozen=True)
class Answers:
    """Probabilities, (n_rows, n_labels), and labels, (n_rows,); or quantities, (n_rows,), alone."""

    numbers: Floats
    labels: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class Parity:
    """How far apart the answers to some rows are."""

    n_rows: int
    other_labels: int
    largest: float

    @property
    def holds(self) -> bool:
        """Whether labels are equal and numbers within the tolerance."""
        return self.other_labels == 0 and self.largest <= TOLERANCE

    def __str__(self) -> str:
        labels = f"{self.other_labels:,} other labels and " if self.other_labels else ""
        return f"{labels}a largest difference of {self.largest:.2g} on {self.n_rows:,} rows"


def answers_of(contract: Contract, pipeline: Any) -> Callable[[Floats], Answers]:  # noqa: ANN401 (any scikit-learn estimator)
    """What a pipeline answers, by scikit-learn."""

    def answers(rows: Floats) -> Answers:
        if isinstance(contract.target, Labels):
            return Answers(pipeline.predict_proba(rows), np.asarray(pipeline.predict(rows)).astype(str))
        return Answers(np.asarray(pipeline.predict(rows), dtype=np.float64))

    return answers


def parity(one: Callable[[Floats], Answers], other: Callable[[Floats], Answers], rows: Floats) -> Parity:
    """How far apart two are on rows of shape (n_rows, n_features). What is no number is infinitely far."""
    ours, theirs = one(rows), other(rows)
    differing = 0
    if ours.labels is not None and theirs.labels is not None:
        differing = int((ours.labels != theirs.labels).sum())
    apart = np.abs(ours.numbers - theirs.numbers)
    if ours.labels is None:
        apart = apart / np.maximum(np.abs(ours.numbers), np.finfo(np.float64).tiny)
        apart[ours.numbers == theirs.numbers] = 0.0
    largest = float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0))
    return Parity(len(rows), differing, largest)
