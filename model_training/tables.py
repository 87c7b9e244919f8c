"""Tables of training data: read from CSV or Parquet, checked and encoded column by column."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow
import pyarrow.parquet

from sepal.contracts import Contract, Feature, Labels
from sepal.errors import DataError, NotFoundError

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
    X = np.full((len(table), len(contract.columns)), np.nan)
    for at, feature in enumerate(contract.columns):
        if feature.name in matched:
            X[:, at] = _encode_column(feature, table[matched[feature.name]], sieve)
    return X


def numbers(column: "pd.Series[Any]") -> Floats:
    """A column's numbers, read exactly as Python reads them; NaN where there is none."""
    if pd.api.types.is_bool_dtype(column):
        return np.full(len(column), np.nan)
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    texts = column.to_numpy(dtype=object)
    # pandas tells number from text; its own reading is not exact in the last digit.
    there = pd.to_numeric(column.astype(object), errors="coerce").notna().to_numpy()
    read = np.full(len(column), np.nan)
    read[there] = texts[there].astype(np.float64)
    return read


def seconds(column: "pd.Series[Any]") -> Floats:
    """A column's times as seconds since 1970 on the same wall clock; NaN where there is none.

    A time with an offset is no wall-clock time, so it has none.
    """
    if not pd.api.types.is_datetime64_any_dtype(column):
        texts = column.astype(str)
        offset = texts.str.contains(r"(?:[Zz]|:\d\d[^:]*[+-]\d\d(?::?\d\d)?)\s*$", regex=True)
        texts = texts.where(~offset & texts.str.contains(r"^\d{4}-\d\d-\d\d"), None)
        column = pd.to_datetime(texts, format="ISO8601", errors="coerce")
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return np.full(len(column), np.nan)
    moments = column.to_numpy(dtype="datetime64[us]")
    return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / 1e6)


def _encode_column(feature: Feature, column: "pd.Series[Any]", sieve: Sieve) -> Floats:
    missing = column.isna().to_numpy(dtype=np.bool_)
    if not feature.optional:
        sieve.drop(missing, f"{feature.name} missing")
    encoded = _read(feature, column)
    sieve.drop(~missing & ~np.isfinite(encoded), f"{feature.name} {_NOT_READ[feature.kind]}")
    if feature.kind == "integer":
        sieve.drop(np.isfinite(encoded) & (encoded % 1 != 0), f"{feature.name} not a whole number")
    for outside, reason in _outside(feature, encoded):
        sieve.drop(outside, f"{feature.name} {reason}")
    return encoded


def _read(feature: Feature, column: "pd.Series[Any]") -> Floats:
    if feature.kind == "time":
        return seconds(column)
    if feature.kind == "category":
        return _codes(column, feature.categories)
    if feature.kind == "boolean":
        return _codes(column.astype(str).str.lower().where(column.notna(), None), ("false", "true"))
    return numbers(column)


_NOT_READ = {
    "number": "not a number",
    "integer": "not a number",
    "boolean": "not true or false",
    "category": "an unknown category",
    "time": "not a wall-clock time",
}


def _codes(column: "pd.Series[Any]", names: Sequence[str]) -> Floats:
    """Each text's position in `names`; NaN where it is none of them."""
    code_of = {name: float(code) for code, name in enumerate(names)}
    return np.asarray(column.astype(object).map(code_of), dtype=np.float64)


def _outside(feature: Feature, encoded: Floats) -> Iterable[tuple[Flags, str]]:
    """Where a feature's bounds are broken; a missing value breaks none."""
    if (low := feature.at_least) is not None:
        yield encoded < low, f"under {_told(feature, low)}"
    if (low := feature.greater_than) is not None:
        yield encoded <= low, f"not over {_told(feature, low)}"
    if (high := feature.at_most) is not None:
        yield encoded > high, f"over {_told(feature, high)}"
    if (high := feature.less_than) is not None:
        yield encoded >= high, f"not under {_told(feature, high)}"


def _told(feature: Feature, bound: float) -> str:
    if feature.kind == "time":
        return datetime.fromtimestamp(bound, UTC).replace(tzinfo=None).isoformat()
    return f"{bound:g}"


def _targets(contract: Contract, column: "pd.Series[Any]", sieve: Sieve) -> npt.NDArray[Any]:
    target = contract.target
    missing = column.isna().to_numpy(dtype=np.bool_)
    sieve.drop(missing, f"{target.column} missing")
    if isinstance(target, Labels):
        codes = _codes(column, target.names)
        sieve.drop(np.isnan(codes), f"{target.column} an unknown label")
        return np.array(target.names)[np.nan_to_num(codes).astype(np.intp)]
    values = numbers(column)
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
