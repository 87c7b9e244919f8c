"""Tables of training data: read from CSV or Parquet, checked and encoded column by column."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow
import pyarrow.parquet

from sepal.contracts import Contract, Labels
from sepal.errors import DataError, NotFoundError
from sepal.scoring import columns

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_CSV = (".csv", ".csv.gz")
_PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class TrainingData:
    """The rows of a file that fit the contract.

    `X` has shape (n_rows, n_features), encoded as on the wire; `y` has shape (n_rows,),
    labels as text or a quantity in the target's unit. `dropped` counts the rows left
    out, by reason.
    """

    X: Floats
    y: npt.NDArray[Any]
    dropped: Mapping[str, int]


@dataclass
class Sieve:
    """Which of `rows` rows are still in, and how many fell out for which reason.

    A row with several faults counts once, under the first.
    """

    rows: int
    kept: Flags = field(init=False)
    dropped: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kept = np.ones(self.rows, dtype=np.bool_)

    def drop(self, wrong: Flags, reason: str) -> None:
        """Let the rows fall out where `wrong`, of shape (rows,), is true."""
        fallen = wrong & self.kept
        if count := int(fallen.sum()):
            self.dropped[reason] = self.dropped.get(reason, 0) + count
            self.kept &= ~fallen


def read_examples(path: Path, contract: Contract) -> TrainingData:
    """Read a table that has the contract's features and the target's column.

    Raises NotFoundError for a file that is not there, DataError for one with wrong
    columns or with no row that fits.
    """
    found = column_names(path)
    matched = contract.match_columns(found)
    target = find_column(found, (contract.target.column,), contract)
    table = read_table(path, [*matched.values(), target])
    sieve = Sieve(len(table))
    X = encode(contract, table, matched, sieve)
    y = _targets(contract, table[target], sieve)
    return keep(X, y, sieve, path)


def find_column(found: Sequence[str], names: Sequence[str], contract: Contract) -> str:
    """The one of `names` that a file has; a DataError names the columns missing and found."""
    there = [name for name in names if name in found]
    if len(there) == 1:
        return there[0]
    if there:
        raise DataError(f"Columns {' and '.join(map(repr, there))} say the same: keep one.")
    raise DataError(
        f"Missing for training {contract.name}: {' or '.join(names)}. "
        f"Columns found: {', '.join(found) or 'none'}."
    )


def keep(X: Floats, y: npt.NDArray[Any], sieve: Sieve, path: Path) -> TrainingData:
    """The rows that the sieve kept; a DataError says why there are none."""
    if not sieve.kept.any():
        reasons = "; ".join(f"{reason}: {count}" for reason, count in sieve.dropped.items())
        raise DataError(f"No row of {path} can be used ({reasons or 'it has none'}). Correct the file.")
    return TrainingData(X[sieve.kept], y[sieve.kept], sieve.dropped)


def column_names(path: Path) -> list[str]:
    """The columns that a CSV or Parquet file has, in its order, doubles included."""
    if not path.is_file():
        raise NotFoundError(f"There is no data file {path}. Give one with --data.")
    return _readable(path, lambda: _parquet_names(path) if _is_parquet(path) else _csv_names(path))


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of a CSV or Parquet file; those of a CSV file as text, where blank is missing."""
    if _is_parquet(path):
        return _readable(path, lambda: pd.read_parquet(path, columns=list(columns)))
    # No other text than a blank counts as missing: "NA" and "None" may be categories.
    return _readable(
        path,
        lambda: pd.read_csv(
            path,
            usecols=list(columns),
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            encoding="utf-8-sig",
            skip_blank_lines=True,
        ),
    )


def encode(contract: Contract, table: pd.DataFrame, matched: Mapping[str, str], sieve: Sieve) -> Floats:
    """The table's rows as `contract.encode` has them, of shape (n_rows, n_features).

    `matched` gives a feature's column. Rows that the contract does not take fall out of
    the sieve; what stands in their place in the matrix means nothing.
    """
    found = {feature: _as_polars(table[column]) for feature, column in matched.items()}
    encoded = columns.encode(contract, found, len(table))
    for fault in encoded.faults:
        sieve.drop(fault.where, f"{fault.feature.name} {fault.reason}")
    return np.ascontiguousarray(encoded.rows)


def seconds(column: "pd.Series[Any]") -> Floats:
    """A column's times as seconds since 1970 on the same wall clock; NaN where there is none.

    A time with an offset is no wall-clock time, so it has none.
    """
    return columns.seconds(_as_polars(column))


def _as_polars(column: "pd.Series[Any]") -> pl.Series:
    """The column as scoring takes it; things of several types in one column become text."""
    try:
        return pl.Series(pl.from_pandas(column))
    except (pyarrow.ArrowException, TypeError):
        return pl.Series(pl.from_pandas(column.astype(str).where(column.notna(), None)))


def _targets(contract: Contract, column: "pd.Series[Any]", sieve: Sieve) -> npt.NDArray[Any]:
    target = contract.target
    missing = column.isna().to_numpy(dtype=np.bool_)
    sieve.drop(missing, f"{target.column} missing")
    if isinstance(target, Labels):
        codes = columns.codes(_as_polars(column), target.names)
        sieve.drop(np.isnan(codes), f"{target.column} an unknown label")
        return np.array(target.names)[np.nan_to_num(codes).astype(np.intp)]
    values = columns.numbers(_as_polars(column))
    sieve.drop(~np.isfinite(values), f"{target.column} not a number")
    return values


def _is_parquet(path: Path) -> bool:
    if path.name.endswith(_PARQUET):
        return True
    if path.name.endswith(_CSV):
        return False
    raise DataError(f"{path} is neither CSV nor Parquet by its name: {', '.join((*_CSV, *_PARQUET))}.")


def _csv_names(path: Path) -> list[str]:
    # header=None, because pandas renames the second of two columns with one name.
    first = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    return [str(name) for name in first.iloc[0]]


def _parquet_names(path: Path) -> list[str]:
    return [str(name) for name in pyarrow.parquet.read_schema(path).names]


def _readable(path: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} can't be read: {error}") from error
