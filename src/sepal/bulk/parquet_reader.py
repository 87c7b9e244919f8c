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
from sepal.bulk.parquet_text import decoded, in_dictionaries, pieces, text_bytes
from sepal.bulk.rows import LONGEST_TOLD, Done, Indices, Position, Rows
from sepal.errors import DataError, ResumeError

_BUFFER = 1 << 20
"""Bytes that are read of a column at a time."""


class ParquetReader:
    """Reads one file in chunks of about `n_values` values, and about `n_bytes` bytes of text."""

    def __init__(self, file: InputFile, *, n_values: int, n_bytes: int, most_columns: int) -> None:
        self._file, self._n_values, self._n_bytes = file, n_values, n_bytes
        try:
            self._parquet = pq.ParquetFile(file.open(), buffer_size=_BUFFER, pre_buffer=False)
            self._row, self._digest = 0, self._footer_digest()
        except (OSError, pa.ArrowException) as error:
            raise unreadable(file, "is no Parquet file that can be read", error) from error
        self._files: dict[tuple[str, ...], Any] = {(): self._parquet}
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
        self._texts = text_bytes(self._parquet.metadata, self._wanted)

    def _opened(self, groups: Sequence[int]) -> Any:  # noqa: ANN401 (pyarrow.parquet.ParquetFile)
        """The file, read so that these row groups' dictionaries of text take no more memory than there."""
        names = tuple(in_dictionaries(self._parquet, self._wanted, groups))
        if names not in self._files:
            more = {"buffer_size": _BUFFER, "pre_buffer": False, "metadata": self._parquet.metadata}
            self._files[names] = pq.ParquetFile(self._file.open(), read_dictionary=names, **more)
        return self._files[names]

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
        for at in range(len(self._sizes)):
            if together and not self._fit([*together, at]):
                yield together
                together = []
            together.append(at)
        if together:
            yield together

    def _fit(self, groups: Sequence[int]) -> bool:
        """Whether row groups are no more than a chunk."""
        return (
            sum(self._sizes[at] for at in groups) <= self._n_rows
            and sum(self._texts[at] for at in groups) <= self._n_bytes
        )

    def _read(self, groups: list[int], row: int, begin: int) -> Iterator["ParquetChunk"]:
        try:
            for table in self._tables(groups):
                self._row = row + len(table)
                if self._row > begin:
                    left = table.slice(max(0, begin - row)).select(self._wanted)
                    yield ParquetChunk(decoded(left, self._parquet.schema_arrow), max(row, begin))
                row = self._row
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self._file, "can't be read to its end", error) from error

    def _tables(self, groups: list[int]) -> Iterator[Any]:
        if self._fit(groups):
            yield from pieces(
                self._opened(groups).read_row_groups(groups, columns=self._wanted), self._n_bytes
            )
            return
        n_rows = min(self._n_rows, *(self._rows_of_text(at) for at in groups))
        batches = self._opened(groups).iter_batches(n_rows, row_groups=groups, columns=self._wanted)
        for batch in batches:
            yield from pieces(pa.Table.from_batches([batch]), self._n_bytes)

    def _rows_of_text(self, group: int) -> int:
        """How many rows of a row group have about as much text as a chunk may have."""
        return max(1, self._n_bytes * self._sizes[group] // max(1, self._texts[group]))


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
