"""Linear evaluators: scalers and a linear last step as arrays, which need numpy alone and can be saved.

They work on columns: one row after the other is what numpy is slowest at.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sepal.scoring.matrix import Matrix

Positions: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True)
class Linear:
    """Operations on all rows, one after the other, then `weights` (n_features, n_outputs) and `intercept`.

    An operation is the name of one of numpy's functions and its operand, (n_features,).
    """

    operations: tuple[tuple[str, Matrix], ...]
    weights: Matrix
    intercept: Matrix

    def decision(self, rows: Matrix) -> Matrix:
        """The linear function of each row, of shape (n_outputs, n_rows)."""
        columns = rows.T
        for name, operand in self.operations:
            columns = getattr(np, name)(columns, operand[:, np.newaxis])
        decision: Matrix = self.weights.T @ columns
        decision += self.intercept[:, np.newaxis]
        return decision


@dataclass(frozen=True)
class LinearClassifier:
    """A logistic regression: a softmax over its outputs, or the logistic function of its only one."""

    linear: Linear

    def positions(self, rows: Matrix) -> Positions:
        """Each row's position in the pipeline's `classes_`."""
        return _largest(self.linear.decision(rows))

    def __call__(self, rows: Matrix) -> tuple[Positions, Matrix]:
        """Each row's position in the pipeline's `classes_`, and its probabilities, (n_rows, n_classes)."""
        decision = self.linear.decision(rows)
        positions = _largest(decision)
        if len(decision) == 1:
            with np.errstate(over="ignore"):  # a probability of zero
                second = 1 / (1 + np.exp(-decision[0]))
            return positions, np.stack((1 - second, second)).T
        decision -= decision.max(axis=0)
        np.exp(decision, out=decision)
        decision /= decision.sum(axis=0)
        return positions, decision.T


@dataclass(frozen=True)
class LinearRegressor:
    """A linear regression of one output."""

    linear: Linear

    def __call__(self, rows: Matrix) -> Matrix:
        """Each row's quantity, (n_rows,)."""
        quantities: Matrix = self.linear.decision(rows)[0]
        return quantities


LinearEvaluator: TypeAlias = LinearClassifier | LinearRegressor

_KINDS: dict[str, type[LinearClassifier] | type[LinearRegressor]] = {
    "classifier": LinearClassifier,
    "regressor": LinearRegressor,
}


def dump(evaluator: LinearEvaluator) -> bytes:
    """An evaluator as a file of numpy's: arrays of numbers and names, nothing that can be run."""
    linear = evaluator.linear
    file = BytesIO()
    np.savez(
        file,
        kind=np.array("classifier" if isinstance(evaluator, LinearClassifier) else "regressor"),
        operations=np.array([name for name, _ in linear.operations], dtype="U16"),
        operands=np.array([operand for _, operand in linear.operations]),
        weights=linear.weights,
        intercept=linear.intercept,
    )
    return file.getvalue()


def load(dumped: bytes) -> LinearEvaluator:
    """The inverse of `dump`."""
    with np.load(BytesIO(dumped), allow_pickle=False) as arrays:
        operations = zip(map(str, arrays["operations"]), arrays["operands"], strict=True)
        linear = Linear(tuple(operations), arrays["weights"], arrays["intercept"])
        return _KINDS[str(arrays["kind"])](linear)


def _largest(decision: Matrix) -> Positions:
    """For each column the first of its largest; of a single row, whether it is positive."""
    positions: Positions = (
        (decision[0] > 0).astype(np.intp) if len(decision) == 1 else decision.argmax(axis=0)
    )
    return positions
