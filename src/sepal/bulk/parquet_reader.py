"""Reads Parquet: a few row groups at a time, or a part of one that is large."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sepal.bulk.files import InputFile, unreadable
from sepal.bulk.rows import LONGEST_TOLD, Done, Indices, Position, Rows
from sepal.errors import DataError, ResumeError

_BUFFER = 1 << 20
"""Bytes that are read of a column at a time."""


class ParquetReader:
    """Reads one file in chunks of about `n_values` values."""

    def __init__(self, file: InputFile, *, n_values: int, most_columns: int) -> None:
        self._file, self._n_values = file, n_values
        try:
            self._parquet = pq.ParquetFile(file.open(), buffer_size=_BUFFER, pre_buffer=False)
            self._row, self._digest = 0, self._footer_digest()
        except (OSError, pa.ArrowException) as error:
            raise unreadable(file, "is no Parquet file that can be read", error) from error
        metadata = self._parquet.metadata
        if metadata.num_columns > most_columns:
            raise DataError(
                f"{file.path} has {metadata.num_columns:,} columns; at most {most_columns:,} are read. "
                "Raise SEPAL_BULK_COLUMNS or leave some out."
            )
        self.columns = list(self._parquet.schema_arrow.names)
        self._sizes: list[int] = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
        self.select((), self.columns)

    def types(self, columns: Sequence[str]) -> dict[str, pl.DataType]:
        """As `Reader` says: as they are in this file."""
        schema = self._parquet.schema_arrow
        empty = pl.from_arrow(pa.Table.from_batches([], schema).select(list(columns)))
        return dict(empty.schema) if isinstance(empty, pl.DataFrame) else {}

    def select(self, numbers: Sequence[str], others: Sequence[str]) -> None:
        """Want these columns, of whatever types they are."""
        self._wanted = [name for name in self.columns if name in numbers or name in others]
        self._n_rows = max(1, self._n_values // max(10, len(self._wanted)))

    @property
    def share(self) -> float:
        """As `Reader` says."""
        return self._row / max(1, int(sum(self._sizes)))

    def done(self) -> Done:
        """As `Reader` says; positions count rows, and the digest is the footer's."""
        return Done(Position(self._row, self._row + 1), self._digest)

    def _footer_digest(self) -> str:
        """SHA-256 of the footer, which says where in the file every page is, and how large."""
        with self._file.open() as opened:
            opened.seek(self._file.size - 8)
            length = int.from_bytes(opened.read(4), "little")
            opened.seek(self._file.size - 8 - length)
            return hashlib.sha256(opened.read(length)).hexdigest()

    def chunks(self, after: Done | None = None) -> Iterator["ParquetChunk"]:
        """As `Reader` says."""
        if after is not None and after.digest != self._digest:
            raise ResumeError(
                f"{self._file.path} has changed since the run began. Begin again with --restart."
            )
        begin, row = (0 if after is None else after.end.offset), 0
        for groups in self._groups():
            n_rows = sum(self._sizes[at] for at in groups)
            if row + n_rows > begin:
                yield from self._read(groups, row, begin)
            row += n_rows

    @property
    def seekable(self) -> bool:
        """As `Reader` says."""
        return True

    @property
    def start(self) -> Position:
        """As `Reader` says."""
        return Position(0, 1)

    def ends(self) -> Iterator[Position]:
        """As `Reader` says, of chunks that end with a row group: the footer tells them."""
        self._row = 0
        for groups in self._groups():
            self._row += sum(self._sizes[at] for at in groups)
            yield Position(self._row, self._row + 1)

    def span(self, start: Position, end: Position) -> Iterator["ParquetChunk"]:
        """As `Reader` says."""
        row = 0
        for groups in self._groups():
            if start.offset <= row < end.offset:
                yield from self._read(groups, row, row)
            row += sum(self._sizes[at] for at in groups)

    def _groups(self) -> Iterator[list[int]]:
        """Row groups that are read together: as many as make up a chunk, or a large one alone."""
        together: list[int] = []
        for at, size in enumerate(self._sizes):
            if together and sum(self._sizes[each] for each in together) + size > self._n_rows:
                yield together
                together = []
            together.append(at)
        if together:
            yield together

    def _read(self, groups: list[int], row: int, begin: int) -> Iterator["ParquetChunk"]:
        try:
            for table in self._tables(groups):
                self._row = row + len(table)
                if row >= begin:
                    yield ParquetChunk(table.select(self._wanted), row)
                row = self._row
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self._file, "can't be read to its end", error) from error

    def _tables(self, groups: list[int]) -> Iterator[Any]:
        if sum(self._sizes[at] for at in groups) <= self._n_rows:
            yield self._parquet.read_row_groups(groups, columns=self._wanted)
            return
        batches = self._parquet.iter_batches(self._n_rows, row_groups=groups, columns=self._wanted)
        yield from (pa.Table.from_batches([batch]) for batch in batches)


@dataclass(frozen=True)
class ParquetChunk:
    """Rows of a Parquet file."""

    table: Any  # pyarrow.Table
    row: int

    def parse(self) -> Rows:
        """As `Chunk` says; a row's line is its number in the file."""
        converted = pl.from_arrow(self.table)
        assert isinstance(converted, pl.DataFrame)  # noqa: S101 (a table, not an array)
        numbers = np.arange(self.row + 1, self.row + 1 + len(converted), dtype=np.int64)

        def told(rows: Indices) -> list[str]:
            return [json.dumps(row, default=str)[:LONGEST_TOLD] for row in converted[rows].to_dicts()]

        return Rows(converted, numbers, (), told)
