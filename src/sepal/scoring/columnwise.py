"""Columnwise evaluators: encoders, splines and scalers of single columns under a linear last step.

scikit-learn lays out a wide matrix and multiplies it by the coefficients. Here each column
adds its share to the sum: a category's coefficient is looked up, a spline under its
coefficients is one piecewise polynomial, and numbers are multiplied by their weights. It
needs numpy alone and works on blocks of rows, as `linear` does.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sepal.scoring.matrix import Matrix

Function: TypeAlias = Callable[[Matrix], Matrix]
"""From rows to rows, as scikit-learn's transformers work: shape (n_rows, n_columns) both."""

Operation: TypeAlias = tuple[str | Function, NDArray[Any] | None]
"""A function of columns and its operand: the name of one of numpy's or of `_OPERATIONS`, or any of rows."""

_AT_A_TIME = 1 << 14
"""Rows that are answered at a time; half as many are slower, and twice as many little quicker."""

_LARGEST_TABLE = 1 << 19
"""Numbers in a table with a place for each whole number from the smallest category to the largest."""

_WHOLE = 2.0**53
"""Below it, whole numbers as float64 are exact."""


@dataclass(frozen=True)
class Weights:
    """Each column times its weight; shape (n_outputs, n_columns)."""

    weights: Matrix

    def add(self, columns: Matrix, total: Matrix) -> None:
        """Add it for columns of shape (n_columns, n_rows) to `total`, shape (n_outputs, n_rows)."""
        total += self.weights @ columns


@dataclass(frozen=True)
class Lookup:
    """What a value of one column adds: `values` for each of `categories`, which are sorted.

    After those, `values` (n_outputs, n_categories + 2) has what an unknown value adds, and
    then a missing one; NaN for a value that scikit-learn refuses.
    """

    column: int
    categories: Matrix
    values: Matrix

    def add(self, columns: Matrix, total: Matrix) -> None:
        """As `Weights.add` says."""
        values = columns[self.column]
        if self._table is None:
            places = np.minimum(self.categories.searchsorted(values), len(self.categories) - 1)
            places[self.categories[places] != values] = len(self.categories)
            table = self.values
        else:
            table = self._table
            unknown = table.shape[1] - 2
            with np.errstate(invalid="ignore"):  # what becomes of NaN and huge numbers is unequal to them
                places = values.astype(np.intp)
            known = places == values
            places -= int(self.categories[0])
            known &= places >= 0
            known &= places < unknown
            np.putmask(places, ~known, unknown)
        if (missing := np.isnan(values)).any():
            places[missing] = table.shape[1] - 1
        total += table.take(places, axis=1)

    @cached_property
    def _table(self) -> Matrix | None:
        """The values at the distance of their category to the first one, if all are whole numbers."""
        places = self.categories - self.categories[0]
        size = int(min(places[-1], _LARGEST_TABLE)) + 3
        whole = (
            np.abs(self.categories).max() < _WHOLE and (self.categories == np.floor(self.categories)).all()
        )
        if size * len(self.values) > _LARGEST_TABLE or not whole:
            return None
        table = np.repeat(self.values[:, -2:-1], size, axis=1)
        table[:, places.astype(np.intp)] = self.values[:, :-2]
        table[:, -1] = self.values[:, -1]
        return table


@dataclass(frozen=True)
class Polynomials:
    """What a value of one column adds: a polynomial between each two of `edges`, and outside of them.

    `coefficients`, (degree + 1, n_outputs, n_edges + 2), highest power first, are of the
    distance from `origins`, (n_edges + 2,). The last is for a missing value. With a
    period, a value stands for that within one period from the first edge.
    """

    column: int
    edges: Matrix
    origins: Matrix
    coefficients: Matrix
    period: float | None

    def add(self, columns: Matrix, total: Matrix) -> None:
        """As `Weights.add` says."""
        values = columns[self.column]
        if self.period is not None:
            values = self.edges[0] + (values - self.edges[0]) % self.period
        places = self._edges.searchsorted(values, side="right")
        distances = values - self.origins[places]
        if (missing := np.isnan(values)).any():
            distances[missing] = 0.0
        first, *others = self.coefficients
        sums = first.take(places, axis=1)
        for coefficients in others:
            sums *= distances
            sums += coefficients.take(places, axis=1)
        total += sums

    @cached_property
    def _edges(self) -> Matrix:
        """The last edge belongs to the piece before it; NaN is sorted behind infinity."""
        return np.array([*self.edges[:-1], np.nextafter(self.edges[-1], np.inf), np.inf])


Part: TypeAlias = Weights | Lookup | Polynomials


@dataclass(frozen=True)
class Term:
    """Columns that are computed by operations one after the other, and what they add."""

    operations: tuple[Operation, ...]
    parts: tuple[Part, ...]

    def add(self, columns: Matrix, total: Matrix) -> None:
        """As `Weights.add` says."""
        columns = operated(self.operations, columns)
        for part in self.parts:
            part.add(columns, total)


@dataclass(frozen=True)
class Columnwise:
    """The sum of all terms and `intercept`, (n_outputs,)."""

    terms: tuple[Term, ...]
    intercept: Matrix

    @property
    def n_outputs(self) -> int:
        """How many sums there are for each row."""
        return len(self.intercept)

    def decisions(self, rows: Matrix) -> Iterator[tuple[slice, Matrix]]:
        """The sums of some rows after the other, of shape (n_outputs, n_some_rows).

        ValueError where scikit-learn refuses a value too, which is then in no message.
        """
        for start in range(0, len(rows), _AT_A_TIME):
            some = slice(start, min(start + _AT_A_TIME, len(rows)))
            columns = rows[some].T
            total = np.repeat(self.intercept[:, np.newaxis], columns.shape[1], axis=1)
            for term in self.terms:
                term.add(columns, total)
            if not np.isfinite(total).all():
                raise ValueError("A value is missing, unknown or too large for the pipeline.")
            yield some, total


@dataclass(frozen=True)
class TransformedRegressor:
    """A regressor whose quantities are brought back to the unit of the target."""

    regressor: Callable[[Matrix], Matrix]
    operations: tuple[Operation, ...]

    def __call__(self, rows: Matrix) -> Matrix:
        """Each row's quantity, (n_rows,)."""
        quantities: Matrix = operated(self.operations, self.regressor(rows)[np.newaxis])[0]
        return quantities


def columnwise_of(evaluator: object) -> Columnwise | None:
    """The sum of columns that an evaluator is of; None if it is another one."""
    if isinstance(evaluator, TransformedRegressor):
        evaluator = evaluator.regressor
    found = getattr(evaluator, "linear", None)
    return found if isinstance(found, Columnwise) else None


def marks(columnwise: Columnwise) -> Iterator[tuple[int, Matrix]]:
    """A column's position in the rows, and values of it where what it adds changes its form.

    These are categories and the edges of polynomials; not those of columns that are
    computed from others, or scaled.
    """
    for term in columnwise.terms:
        positions: NDArray[Any] | None = None
        for name, operand in term.operations:
            if name == "select" and operand is not None:
                positions = operand if positions is None else positions[operand]
            elif name not in ("impute", "refuse"):
                break
        else:
            for part in term.parts:
                if positions is not None and not isinstance(part, Weights):
                    values = part.categories if isinstance(part, Lookup) else part.edges
                    yield int(positions[part.column]), values


def operated(operations: tuple[Operation, ...], columns: Matrix) -> Matrix:
    """Columns, (n_columns, n_rows), after operations."""
    for function, operand in operations:
        if not isinstance(function, str):
            columns = np.asarray(function(columns.T), dtype=np.float64).T
        elif function in _OPERATIONS:
            columns = _OPERATIONS[function](columns, operand)
        else:
            operands = () if operand is None else (operand[:, np.newaxis],)
            columns = getattr(np, function)(columns, *operands)
    return columns


def _flag_missing(columns: Matrix, which: Any) -> Matrix:  # noqa: ANN401 (an operand)
    return np.vstack((columns, np.isnan(columns[which])))


def _impute(columns: Matrix, substitutes: Any) -> Matrix:  # noqa: ANN401
    return np.where(np.isnan(columns), substitutes[:, np.newaxis], columns)


def _refuse(columns: Matrix, refused: Any) -> Matrix:  # noqa: ANN401
    """ValueError for infinity, and for a missing value if the operand says so."""
    if np.isinf(columns).any() or (refused.any() and np.isnan(columns).any()):
        raise ValueError("A value is missing or infinite, which the pipeline does not take.")
    return columns


_OPERATIONS: Mapping[str, Callable[[Matrix, Any], Matrix]] = {
    "select": lambda columns, positions: columns.take(positions, axis=0),
    "combine": lambda columns, weights: weights.T @ columns,
    "flag_missing": _flag_missing,
    "impute": _impute,
    "refuse": _refuse,
}
"""Operations that are no function of numpy's of each number: what they do with columns and an operand."""
