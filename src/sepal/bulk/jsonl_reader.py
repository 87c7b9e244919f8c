"""Reads JSON Lines (https://jsonlines.org): an object a line, whose keys are the columns."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from sepal.bulk.blocks import Block, BlockReader
from sepal.bulk.files import InputFile, Text
from sepal.bulk.rows import LONGEST_TOLD, Done, Indices, Position, Rejected, Rows
from sepal.errors import DataError

_START = Position(0, 1)


class JsonLinesReader:
    """Reads one file, whose `columns` are the keys of its first object."""

    def __init__(self, file: InputFile, *, encoding: str | None, size: int) -> None:
        self._blocks = BlockReader(file, encoding, size, lambda text, final: text.rfind(b"\n") + 1)
        text = Text(file, encoding)
        try:
            first = text.read(size).lstrip().partition(b"\n")[0]
        finally:
            text.close()
        self.columns = _keys(file, first)
        self._schema: dict[str, Any] = {}

    def types(self, columns: Sequence[str]) -> dict[str, pl.DataType]:
        """As `Reader` says: text stays text."""
        return {name: pl.String() for name in columns}

    def select(self, numbers: Sequence[str], others: Sequence[str]) -> None:
        """Want some columns as numbers, where the text of the others is wanted."""
        self._schema = {
            name: pl.String if name in others else pl.Float64
            for name in self.columns
            if name in others or name in numbers
        }

    def done(self) -> Done:
        """As `Reader` says."""
        return self._blocks.done()

    @property
    def share(self) -> float:
        """As `Reader` says."""
        return self._blocks.share

    def chunks(self, after: Done | None = None) -> Iterator["JsonLinesChunk"]:
        """As `Reader` says."""
        for block in self._blocks.blocks(*(after or (_START,))):
            yield JsonLinesChunk(block, self._schema)

    @property
    def seekable(self) -> bool:
        """As `Reader` says."""
        return self._blocks.seekable()

    @property
    def start(self) -> Position:
        """As `Reader` says."""
        return _START

    def ends(self) -> Iterator[Position]:
        """As `Reader` says; all of the file is read for it."""
        for block in self._blocks.blocks(_START):
            yield block.end

    def span(self, start: Position, end: Position) -> Iterator["JsonLinesChunk"]:
        """As `Reader` says."""
        for block in self._blocks.span(start, end.offset):
            yield JsonLinesChunk(block, self._schema)


def _keys(file: InputFile, line: bytes) -> list[str]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise DataError(f"{file.path} does not begin with a JSON object on one line: it is no JSON Lines.")
    return list(row)


@dataclass
class JsonLinesChunk:
    """A block of a file of JSON Lines."""

    block: Block
    schema: dict[str, Any]

    def parse(self) -> Rows:
        """As `Chunk` says."""
        n_lines = self.block.data.count(b"\n")
        try:
            frame = self._read(self.block.data)
        except pl.exceptions.PolarsError:
            return self._parse_sound()
        if len(frame) != n_lines:
            return self._parse_sound()
        return self._rows(frame, np.arange(n_lines), self.block.rejected)

    def _parse_sound(self) -> Rows:
        """The lines that hold an object; the others are rejected, empty ones left out."""
        rejected, sound = list(self.block.rejected), []
        for at, line in enumerate(self._lines):
            if not line.strip():
                continue
            if _object(line) is not None:
                sound.append(at)
                continue
            told = line.decode("utf-8", "replace")[:LONGEST_TOLD]
            rejected.append(Rejected(self.block.line + at, "", "not a JSON object", told))
        frame = self._read(b"".join(self._lines[at] + b"\n" for at in sound))
        return self._rows(frame, np.array(sound, dtype=np.int64), rejected)

    def _rows(self, frame: pl.DataFrame, lines: Indices, rejected: Sequence[Rejected]) -> Rows:
        return Rows(
            frame,
            lines + self.block.line,
            rejected,
            lambda rows: [self._lines[at].decode("utf-8", "replace")[:LONGEST_TOLD] for at in lines[rows]],
            lambda rows: self._as_text([self._lines[at] for at in lines[rows]]),
        )

    @cached_property
    def _lines(self) -> list[bytes]:
        return self.block.data.split(b"\n")[:-1]

    def _read(self, data: bytes) -> pl.DataFrame:
        if not data.strip():
            return pl.DataFrame(schema=self.schema)
        return pl.read_ndjson(data, schema=self.schema, ignore_errors=True)

    def _as_text(self, lines: Sequence[bytes]) -> pl.DataFrame:
        """Text is what was text; in a column of numbers, text keeps its quotes and so is none."""
        objects = [_object(line) or {} for line in lines]
        return pl.DataFrame(
            {
                name: [_text(row.get(name), quoted=kind == pl.Float64) for row in objects]
                for name, kind in self.schema.items()
            },
            schema=dict.fromkeys(self.schema, pl.String),
        )


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _text(value: object, *, quoted: bool) -> str | None:
    if value is None or (isinstance(value, str) and not quoted):
        return value
    return json.dumps(value)
