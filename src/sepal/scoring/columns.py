"""Columns of data, checked against a contract and encoded as float64 without Python per row."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sepal.contracts import Contract, Feature
from sepal.scoring.matrix import Matrix

Flags: TypeAlias = NDArray[np.bool_]

NOT_READ = {
    "number": "not a number",
    "integer": "not a number",
    "boolean": "not true or false",
    "category": "an unknown category",
    "time": "not a wall-clock time",
}
"""What is wrong with a value that is there and can't be read, by the feature's kind."""

_TIMES = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M")
_DAY = "%Y-%m-%d"


@dataclass(frozen=True)
class Fault:
    """Rows whose value of one feature the contract does not take; `where` has shape (n_rows,)."""

    feature: Feature
    where: Flags
    reason: str


@dataclass(frozen=True)
class Encoded:
    """Rows as `Contract.encode` has them, shape (n_rows, n_features), columns contiguous.

    What stands in place of a faulty value means nothing. Faults are in contract order, so
    that of a row's faults the first one found is always the same.
    """

    rows: Matrix
    faults: tuple[Fault, ...]

    @property
    def faulty(self) -> Flags:
        """Which rows have a fault, (n_rows,)."""
        flags = np.zeros(len(self.rows), dtype=np.bool_)
        for fault in self.faults:
            flags |= fault.where
        return flags

    def some(self, rows: NDArray[np.int64]) -> "Encoded":
        """Some of the rows, with their faults."""
        faults = tuple(Fault(f.feature, f.where[rows], f.reason) for f in self.faults)
        return Encoded(self.rows[rows], faults)


def encode(contract: Contract, columns: Mapping[str, pl.Series], n_rows: int) -> Encoded:
    """Encode the columns, given by feature name, of whatever type they are.

    Text is taken without the blanks around it, and so are the names of categories; text of
    nothing else is a missing value, as are nulls and, in columns of numbers, NaN. A feature
    that is not among the columns is missing in every row.
    """
    matrix = np.empty((len(contract.columns), n_rows))
    faults: list[Fault] = []
    for values, feature in zip(matrix, contract.columns, strict=True):
        column = columns.get(feature.name, pl.Series(dtype=pl.Null).extend_constant(None, n_rows))
        faults += _encode_column(feature, column, values)
    return Encoded(matrix.T, tuple(faults))


def _encode_column(feature: Feature, column: pl.Series, values: Matrix) -> Iterable[Fault]:
    if column.dtype == pl.Float64 and feature.kind in ("number", "integer"):
        values[:] = column.to_numpy()
        if _all_sound(feature, values):
            return ()
    known = _without_blanks(column)
    values[:] = _read(feature, known).to_numpy()
    if _all_sound(feature, values):
        return ()
    missing = known.is_null().to_numpy()
    found = _faults(feature, values, missing)
    return [Fault(feature, where, reason) for where, reason in found if where.any()]


def _all_sound(feature: Feature, values: Matrix) -> bool:
    """Whether it is plain at a glance that nothing is missing or wrong: by the smallest and the largest."""
    if not len(values):
        return True
    smallest, largest = values.min(), values.max()  # NaN if there is one
    if not (np.isfinite(smallest) and np.isfinite(largest)):
        return False
    if any(outside.any() for outside, _ in outside_bounds(feature, np.array((smallest, largest)))):
        return False
    return feature.kind != "integer" or bool((values == np.floor(values)).all())


def _faults(feature: Feature, values: Matrix, missing: Flags) -> Iterable[tuple[Flags, str]]:
    if not feature.optional:
        yield missing, "missing"
    yield ~missing & ~np.isfinite(values), NOT_READ[feature.kind]
    with np.errstate(invalid="ignore"):
        if feature.kind == "integer":
            yield np.isfinite(values) & (values != np.floor(values)), "not a whole number"
        yield from outside_bounds(feature, values)


def outside_bounds(feature: Feature, values: Matrix) -> Iterable[tuple[Flags, str]]:
    """Where each of a feature's bounds is broken, (n_rows,), in words; a missing value breaks none."""
    if (low := feature.at_least) is not None:
        yield values < low, f"under {_told(feature, low)}"
    if (low := feature.greater_than) is not None:
        yield values <= low, f"not over {_told(feature, low)}"
    if (high := feature.at_most) is not None:
        yield values > high, f"over {_told(feature, high)}"
    if (high := feature.less_than) is not None:
        yield values >= high, f"not under {_told(feature, high)}"


def _told(feature: Feature, bound: float) -> str:
    if feature.kind == "time":
        return datetime.fromtimestamp(bound, UTC).replace(tzinfo=None).isoformat()
    return f"{bound:g}"


def numbers(column: pl.Series) -> Matrix:
    """A column's numbers, (n_rows,); NaN where there is none, or something else."""
    return _numbers(_without_blanks(column)).to_numpy()


def seconds(column: pl.Series) -> Matrix:
    """A column's wall-clock times as seconds since 1970, (n_rows,); NaN where there is no such time."""
    return _times(_without_blanks(column)).to_numpy()


def codes(column: pl.Series, names: Sequence[str]) -> Matrix:
    """Each text's position among the names, (n_rows,); NaN where it is missing, or none of them."""
    return _codes(_without_blanks(column), names).to_numpy()


def _without_blanks(column: pl.Series) -> pl.Series:
    """The column with null for whatever counts as missing."""
    if column.dtype.is_float():
        return column.fill_nan(None)
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype != pl.String:
        return column
    stripped = column.str.strip_chars()
    return stripped.set(stripped.str.len_bytes() == 0, None)


def _unreadable(column: pl.Series) -> pl.Series:
    return pl.Series(dtype=pl.Float64).extend_constant(None, len(column))


def _read(feature: Feature, column: pl.Series) -> pl.Series:
    if feature.kind == "category":
        return _codes(column, feature.categories)
    return _READERS[feature.kind](column)


def _numbers(column: pl.Series) -> pl.Series:
    if column.dtype.is_numeric() or column.dtype in (pl.String, pl.Null):
        return column.cast(pl.Float64, strict=False)
    return _unreadable(column)


def _booleans(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        return _codes(column.str.to_lowercase(), ("false", "true"))
    return column.cast(pl.Float64) if column.dtype == pl.Boolean else _unreadable(column)


def _codes(column: pl.Series, names: Sequence[str]) -> pl.Series:
    if column.dtype != pl.String:
        return _unreadable(column)
    positions = list(map(float, range(len(names))))
    stripped = pl.Series(names, dtype=pl.String).str.strip_chars()  # as the column is
    return column.replace_strict(stripped, positions, default=None, return_dtype=pl.Float64)


def _times(column: pl.Series) -> pl.Series:
    """Seconds since 1970 on the same wall clock; a time with an offset is none."""
    if column.dtype == pl.String:
        column = _times_of_text(column)
    if column.dtype == pl.Date or (
        isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None
    ):
        microseconds = column.cast(pl.Datetime("us")).cast(pl.Int64).cast(pl.Float64).to_numpy()
        return pl.Series(microseconds / 1e6)  # numpy's quotient is the nearest double, polars' is not
    return _unreadable(column)


def _times_of_text(texts: pl.Series) -> pl.Series:
    """Read by the first format, and what that does not read by the next."""
    read = texts.str.to_datetime(_TIMES[0], strict=False, time_unit="us")
    for form in _TIMES[1:]:
        if read.null_count() == texts.null_count():
            return read
        read = read.zip_with(read.is_not_null(), texts.str.to_datetime(form, strict=False, time_unit="us"))
    days = texts.str.to_date(_DAY, strict=False).cast(pl.Datetime("us"))
    return read.zip_with(read.is_not_null(), days)


_READERS: dict[str, Callable[[pl.Series], pl.Series]] = {
    "number": _numbers,
    "integer": _numbers,
    "boolean": _booleans,
    "time": _times,
}
