"""Inputs of any number of rows, the same in every run, written a part at a time.

A program of its own, `data.py KIND ROWS PATH`, so that what it takes of memory is no one else's.
"""

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

_PART = 1_000_000

IRIS_COLUMNS = ("SepalLengthCm", "SepalWidthCm", "PetalLengthCm", "PetalWidthCm")
_IRIS_RANGES = ((4.3, 7.9), (2.0, 4.4), (1.0, 6.9), (0.1, 2.5))
_MONTH = np.datetime64("2019-01-01", "us")


def write(kind: str, n_rows: int, path: Path) -> None:
    """Write rows of iris or rides as CSV or Parquet, unless the file is there."""
    if path.exists():
        return
    made = path.with_suffix(".part")
    if path.suffix == ".csv":
        with made.open("wb") as file:
            for number, part in enumerate(_parts(kind, n_rows)):
                part.write_csv(file, include_header=number == 0)
    else:
        tables = (part.to_arrow() for part in _parts(kind, n_rows))
        first = next(tables)
        with pq.ParquetWriter(made, first.schema, compression="zstd") as writer:
            for table in chain((first,), tables):
                writer.write_table(table, row_group_size=250_000)
    made.rename(path)


def _parts(kind: str, n_rows: int) -> Iterator[pl.DataFrame]:
    make = {"iris": _iris, "rides": _rides}[kind]
    for start in range(0, n_rows, _PART):
        yield make(np.random.default_rng([19, start]), min(_PART, n_rows - start))


def _iris(draw: np.random.Generator, n_rows: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            name: np.round(draw.uniform(low, high, n_rows), 3)
            for name, (low, high) in zip(IRIS_COLUMNS, _IRIS_RANGES, strict=True)
        }
    )


def _rides(draw: np.random.Generator, n_rows: int) -> pl.DataFrame:
    seconds = draw.integers(0, 31 * 24 * 3600, n_rows)
    return pl.DataFrame(
        {
            "VendorID": draw.integers(1, 3, n_rows),
            "tpep_pickup_datetime": _MONTH + seconds.astype("timedelta64[s]").astype("timedelta64[us]"),
            "passenger_count": draw.integers(1, 6, n_rows),
            "trip_distance": np.round(draw.gamma(2.0, 1.5, n_rows), 2),
            "PULocationID": draw.integers(1, 266, n_rows),
            "DOLocationID": draw.integers(1, 266, n_rows),
        }
    )


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
