"""Linear evaluators: scalers and a linear last step as arrays, which need numpy alone and can be saved.

They work on columns, since one row after the other is what numpy is slowest at, and on so
many rows at a time as the processor's cache holds: memory is what bounds them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sepal.scoring.matrix import Matrix

Positions: TypeAlias = NDArray[np.intp]

_AT_A_TIME = 1 << 14
"""Rows that are answered at a time; measured: half and twice as many are slower."""


class Decisions(Protocol):
    """A linear function of rows, with one or more outputs."""

    @property
    def n_outputs(self) -> int:
        """How many outputs it has for each row."""
        ...

    def decisions(self, rows: Matrix) -> Iterator[tuple[slice, Matrix]]:
        """The outputs for some rows after the other, of shape (n_outputs, n_some_rows)."""
        ...


@dataclass(frozen=True)
class Linear:
    """Operations on all rows, one after the other, then `weights` (n_features, n_outputs) and `intercept`.

    An operation is the name of one of numpy's functions and its operand, (n_features,).
    """

    operations: tuple[tuple[str, Matrix], ...]
    weights: Matrix
    intercept: Matrix

    @property
    def n_outputs(self) -> int:
        """As `Decisions` says."""
        return len(self.intercept)

    def decisions(self, rows: Matrix) -> Iterator[tuple[slice, Matrix]]:
        """The linear function of some rows after the other, of shape (n_outputs, n_some_rows)."""
        weights, intercept = np.ascontiguousarray(self.weights.T), self.intercept[:, np.newaxis]
        operations = [(getattr(np, name), operand[:, np.newaxis]) for name, operand in self.operations]
        for start in range(0, len(rows), _AT_A_TIME):
            some = slice(start, min(start + _AT_A_TIME, len(rows)))
            columns = rows[some].T
            for operation, operand in operations:
                columns = operation(columns, operand)
            decision: Matrix = weights @ columns
            decision += intercept
            yield some, decision


@dataclass(frozen=True)
class LinearClassifier:
    """A logistic regression: a softmax over its outputs, or the logistic function of its only one."""

    linear: Decisions

    def positions(self, rows: Matrix) -> Positions:
        """Each row's position in the pipeline's `classes_`."""
        positions = np.empty(len(rows), dtype=np.intp)
        for some, decision in self.linear.decisions(rows):
            positions[some] = _largest(decision)
        return positions

    def __call__(self, rows: Matrix) -> tuple[Positions, Matrix]:
        """Each row's position in the pipeline's `classes_`, and its probabilities, (n_rows, n_classes)."""
        n_classes = max(2, self.linear.n_outputs)
        positions, probabilities = np.empty(len(rows), dtype=np.intp), np.empty((n_classes, len(rows)))
        for some, decision in self.linear.decisions(rows):
            positions[some] = _largest(decision)
            if len(decision) == 1:
                with np.errstate(over="ignore"):  # a probability of zero
                    second = 1 / (1 + np.exp(-decision[0]))
                probabilities[:, some] = 1 - second, second
                continue
            decision -= decision.max(axis=0)
            np.exp(decision, out=decision)
            np.divide(decision, decision.sum(axis=0), out=probabilities[:, some])
        return positions, probabilities.T


@dataclass(frozen=True)
class LinearRegressor:
    """A linear regression of one output."""

    linear: Decisions

    def __call__(self, rows: Matrix) -> Matrix:
        """Each row's quantity, (n_rows,)."""
        quantities = np.empty(len(rows))
        for some, decision in self.linear.decisions(rows):
            quantities[some] = decision[0]
        return quantities


def _largest(decision: Matrix) -> Positions:
    """For each column the first of its largest; of a single row, whether it is positive."""
    first, *others = decision
    positions: Positions
    if not others:
        positions = (first > 0).astype(np.intp)
        return positions
    positions, largest = np.zeros(len(first), dtype=np.intp), first.copy()
    for position, values in enumerate(others, start=1):
        np.copyto(positions, position, where=values > largest)
        np.maximum(largest, values, out=largest)
    return positions
