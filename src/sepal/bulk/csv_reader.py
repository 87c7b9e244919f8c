"""Reads CSV: the header, then blocks of records as columns, in any order and with faults of any kind."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sepal.bulk.blocks import Block, BlockReader
from sepal.bulk.files import InputFile, Text
from sepal.bulk.records import NEWLINE, Records, split
from sepal.bulk.rows import LONGEST_TOLD, Done, Indices, Position, Rejected, Rows
from sepal.errors import DataError


class CsvReader:
    """Reads one file. `select` says which of its `columns` are wanted, before the first chunk."""

    def __init__(
        self, file: InputFile, *, separator: str, encoding: str | None, size: int, most_columns: int
    ) -> None:
        self._file, self._encoding, self._size = file, encoding, size
        self._separator = separator.encode()
        self._blocks = BlockReader(file, encoding, size, self._whole)
        self.columns, self._header = self._read_header(most_columns)
        self._numbers: frozenset[str] = frozenset()
        self._wanted: Sequence[str] = ()

    def types(self, columns: Sequence[str]) -> dict[str, pl.DataType]:
        """As `Reader` says: text stays text."""
        return {name: pl.String() for name in columns}

    def select(self, numbers: Sequence[str], others: Sequence[str]) -> None:
        """Want some columns as numbers, where the text of the others is wanted."""
        self._numbers = frozenset(numbers) - set(others)
        wanted = self._numbers | set(others)
        self._wanted = [name for name in self.columns if name in wanted]

    def done(self) -> Done:
        """As `Reader` says."""
        return self._blocks.done()

    @property
    def share(self) -> float:
        """As `Reader` says."""
        return self._blocks.share

    def chunks(self, after: Done | None = None) -> Iterator["CsvChunk"]:
        """As `Reader` says."""
        return self._chunks(self._blocks.blocks(*(after or (self._header,))))

    @property
    def seekable(self) -> bool:
        """As `Reader` says."""
        return self._blocks.seekable()

    @property
    def start(self) -> Position:
        """As `Reader` says."""
        return self._header

    def ends(self) -> Iterator[Position]:
        """As `Reader` says; all of the file is read for it."""
        for block in self._blocks.blocks(self._header):
            yield block.end

    def span(self, start: Position, end: Position) -> Iterator["CsvChunk"]:
        """As `Reader` says."""
        return self._chunks(self._blocks.span(start, end.offset))

    def _chunks(self, blocks: Iterator[Block]) -> Iterator["CsvChunk"]:
        schema = {
            str(at): pl.Float64 if name in self._numbers else pl.String
            for at, name in enumerate(self.columns)
        }
        layout = _Layout(
            self._separator, schema, [self.columns.index(name) for name in self._wanted], self._wanted
        )
        for block in blocks:
            yield CsvChunk(block, layout)

    def _whole(self, text: bytes) -> int:
        return split(text, self._separator, final=False).length

    def _read_header(self, most_columns: int) -> tuple[list[str], Position]:
        text = Text(self._file, self._encoding)
        try:
            start = text.read(self._size)
        finally:
            text.close()
        if not start:
            raise DataError(f"{self._file.path} is empty: it has not even a header.")
        complete = start if start.endswith(b"\n") else start + b"\n"
        records = split(complete[: complete.find(b"\n", self._size // 2) + 1 or None], self._separator)
        end = int(records.ends[0])
        if records.broken[0] or (end >= len(start) and len(start) >= self._size):
            raise DataError(
                f"The first line of {self._file.path} is no header: it is longer than {self._size // 2:,} "
                "bytes, or a quote in it is not closed. Is this a CSV file?"
            )
        if (found := int(records.values()[0])) > most_columns:
            raise DataError(
                f"{self._file.path} has {found:,} columns; at most {most_columns:,} are read. "
                "Raise SEPAL_BULK_COLUMNS or leave some out."
            )
        if b"\0" in complete[:end]:
            raise DataError(
                f"{self._file.path} has zero bytes in its header: it is no text, or not in UTF-8. "
                "Give its --encoding, such as utf-16-le, or its --input-format."
            )
        names = self._names(complete[:end].decode("utf-8", "replace"))
        after = complete.find(b"\n", end) + 1
        return names, Position(min(after, len(start)), complete[:after].count(b"\n") + 1)

    def _names(self, header: str) -> list[str]:
        try:
            names = next(csv.reader([header], delimiter=self._separator.decode()), [])
        except csv.Error as error:
            raise DataError(
                f"The header of {self._file.path} can't be read: {error}. Lines must end with LF or CR LF."
            ) from error
        return [name.strip() for name in names]


@dataclass(frozen=True)
class _Layout:
    separator: bytes
    schema: dict[str, Any]
    wanted: list[int]
    names: Sequence[str]


class CsvChunk:
    """A block of a CSV file."""

    def __init__(self, block: Block, layout: _Layout) -> None:
        self._block, self._layout = block, layout

    def parse(self) -> Rows:
        """As `Chunk` says: as it stands if nothing is wrong with any record's shape, else without those."""
        data = self._block.data
        frame = self._parse_whole() if data.isascii() or _is_utf8(data) else None
        if frame is None:
            return self._parse_sound()
        lines = (
            self._records.lines if b'"' in data else np.arange(len(frame), dtype=np.int64)
        ) + self._block.line
        return Rows(frame, lines, self._block.rejected, self._told, self._as_text)

    def _parse_whole(self) -> pl.DataFrame | None:
        """The block as columns; None if a record has not the right shape, or there are empty lines."""
        data = self._block.data
        if not data:
            return self._read(b"")
        if b'"' in data and self._records.broken.any():
            return None
        try:
            frame = self._read(data)
        except pl.exceptions.PolarsError:
            return None
        return frame if len(frame) == self._n_records and self._is_even(len(frame)) else None

    def _is_even(self, n_records: int) -> bool:
        """Whether every record has as many values as the header."""
        expected = len(self._layout.schema)
        if b'"' in self._block.data:
            return bool((self._records.values() == expected).all())
        if self._count(self._layout.separator) != n_records * (expected - 1):
            return False
        if len(self._layout.wanted) == expected or expected == 1:
            return True  # polars would have found a record with too many
        text = np.frombuffer(self._block.data, np.uint8)
        separators = np.flatnonzero(text == self._layout.separator[0]).reshape(n_records, expected - 1)
        ends = np.flatnonzero(text == NEWLINE)
        return bool((separators[:, -1] < ends).all() and (separators[1:, 0] > ends[:-1]).all())

    def _parse_sound(self) -> Rows:
        """The records of the right shape, as columns; the others are rejected, empty lines left out."""
        records, data = self._records, self._block.data
        counts, expected = records.values(), len(self._layout.schema)
        empty = records.starts == records.ends
        invalid = np.zeros(len(counts), dtype=np.bool_) if _is_utf8(data) else self._invalid()
        wrong = records.broken | invalid | (counts != expected)
        rejected = list(self._block.rejected)
        for at in np.flatnonzero(wrong & ~empty):
            reason = (
                "the quotes are not sound"
                if records.broken[at]
                else "not valid text in the file's encoding"
                if invalid[at]
                else f"{counts[at]} values, the header has {expected}"
            )
            told = self._told(np.array([at]))[0]
            rejected.append(Rejected(int(records.lines[at]) + self._block.line, "", reason, told))
        sound = np.flatnonzero(~wrong & ~empty)
        return Rows(
            self._read(self._join(sound)),
            records.lines[sound] + self._block.line,
            rejected,
            lambda rows: self._told(sound[rows]),
            lambda rows: self._as_text(sound[rows]),
        )

    @cached_property
    def _records(self) -> Records:
        return split(self._block.data, self._layout.separator)

    @property
    def _n_records(self) -> int:
        if b'"' in self._block.data:
            return len(self._records.starts)
        return self._block.end.line - self._block.line

    def _count(self, byte: bytes) -> int:
        return int(np.count_nonzero(np.frombuffer(self._block.data, np.uint8) == byte[0]))

    def _invalid(self) -> NDArray[np.bool_]:
        records, data = self._records, self._block.data
        high = np.flatnonzero(np.frombuffer(data, np.uint8) >= 128)
        suspects = np.unique(np.searchsorted(records.starts, high, side="right") - 1)
        invalid = np.zeros(len(records.starts), dtype=np.bool_)
        invalid[[at for at in suspects if not _is_utf8(data[records.starts[at] : records.ends[at]])]] = True
        return invalid

    def _join(self, rows: Indices) -> bytes:
        starts, ends, data = self._records.starts[rows], self._records.ends[rows], self._block.data
        return b"".join(data[start:end] + b"\n" for start, end in zip(starts, ends, strict=True))

    def _told(self, rows: Indices) -> list[str]:
        starts, ends, data = self._records.starts[rows], self._records.ends[rows], self._block.data
        return [
            data[start : min(end, start + LONGEST_TOLD)].decode("utf-8", "replace")
            for start, end in zip(starts, ends, strict=True)
        ]

    def _as_text(self, rows: Indices) -> pl.DataFrame:
        return self._read(self._join(rows), as_text=True)

    def _read(self, data: bytes, *, as_text: bool = False) -> pl.DataFrame:
        layout = self._layout
        schema = dict.fromkeys(layout.schema, pl.String) if as_text else layout.schema
        if not data:
            empty = pl.DataFrame(schema=schema)[:, layout.wanted]
            return empty.rename(dict(zip(empty.columns, layout.names, strict=True)))
        frame = pl.read_csv(
            data,
            has_header=False,
            schema=schema,
            columns=layout.wanted,
            separator=layout.separator.decode(),
            quote_char='"' if b'"' in data else None,
            ignore_errors=True,
        )
        frame.columns = list(layout.names)
        return frame


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
