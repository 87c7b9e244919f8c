"""Reads JSON Lines (https://jsonlines.org): an object a line, whose keys are the columns."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from sepal.bulk.blocks import Block, BlockReader
from sepal.bulk.files import InputFile, Text
from sepal.bulk.json_types import JsonTypes
from sepal.bulk.rows import LONGEST_TOLD, Done, Indices, Position, Rejected, Rows
from sepal.contracts import Feature
from sepal.errors import DataError

_START = Position(0, 1)

_LOOKED_AT = 1000
"""Lines whose keys are the columns."""


class JsonLinesReader:
    """Reads one file, whose `columns` are the keys of its first objects."""

    def __init__(self, file: InputFile, *, encoding: str | None, size: int) -> None:
        self._blocks = BlockReader(file, encoding, size, lambda text: text.rfind(b"\n") + 1)
        text = Text(file, encoding)
        try:
            first = text.read(size)
        finally:
            text.close()
        self._file, self.columns = file, _keys(file, first)
        self._schema: dict[str, Any] = {}
        self._types = JsonTypes.of({}, {})
        self._refused: Sequence[str] = ()

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

    def expect(self, features: Mapping[str, Feature]) -> None:
        """Take in these selected columns, each with its feature, only the type of JSON that it has."""
        self._types = JsonTypes.of(self._schema, features)

    def refuse(self, keys: Sequence[str]) -> None:
        """Fail at a key that would have been wanted, had it been in one of the first objects."""
        self._refused = keys

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
            yield self._chunk(block)

    def _chunk(self, block: Block) -> "JsonLinesChunk":
        return JsonLinesChunk(self._file.path, block, self._schema, self._types, self._refused)

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
            yield self._chunk(block)


def _keys(file: InputFile, text: bytes) -> list[str]:
    """The keys of the first objects: a row may leave out what is null."""
    if not text:
        raise DataError(f"{file.path} is empty: it has not even one row.")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or _object(lines[0]) is None:
        raise DataError(f"{file.path} does not begin with a JSON object on one line: it is no JSON Lines.")
    return list({key: None for line in lines[:_LOOKED_AT] for key in _object(line) or ()})


@dataclass
class JsonLinesChunk:
    """A block of a file of JSON Lines."""

    path: str
    block: Block
    schema: dict[str, Any]
    types: JsonTypes
    refused: Sequence[str]

    def parse(self) -> Rows:
        """As `Chunk` says."""
        self._refuse_late_keys()
        n_lines = self.block.data.count(b"\n")
        try:
            frame = self._read(self.block.data)
        except pl.exceptions.PolarsError:
            return self._parse_sound()
        if len(frame) != n_lines or not self._are_objects(frame):
            return self._parse_sound()
        return self._rows(frame, self.block.data, np.arange(n_lines), self.block.rejected)

    def _refuse_late_keys(self) -> None:
        for name in self.refused:
            if (quoted := json.dumps(name, ensure_ascii=False).encode()) not in self.block.data:
                continue
            for at, line in enumerate(self._lines):
                if quoted in line and name in (_object(line) or ()):
                    raise DataError(
                        f"{self.path} has {name!r} in line {self.block.line + at:,}, in none of the first "
                        f"{_LOOKED_AT:,} lines: write it into its first line, if only as null."
                    )

    def _are_objects(self, frame: pl.DataFrame) -> bool:
        """Whether the lines that gave nothing at all are objects nevertheless."""
        if not frame.width or not len(frame):
            return True
        nothing = frame.select(pl.all_horizontal(pl.all().is_null())).to_series().arg_true()
        return all(_object(self._lines[at]) is not None for at in nothing)

    def _parse_sound(self) -> Rows:
        """The lines that hold an object; the others are rejected, empty ones left out."""
        rejected, sound = list(self.block.rejected), []
        for at, line in enumerate(self._lines):
            if not line.strip():
                continue
            if _object(line) is not None:
                sound.append(at)
                continue
            rejected.append(Rejected(self.block.line + at, "", "not a JSON object", self._told(at)))
        data = b"".join(self._lines[at] + b"\n" for at in sound)
        return self._rows(self._read(data), data, np.array(sound, dtype=np.int64), rejected)

    def _rows(self, frame: pl.DataFrame, data: bytes, lines: Indices, rejected: Sequence[Rejected]) -> Rows:
        faults = self.types.faults(frame, data, lambda row: _object(self._lines[lines[row]]) or {})
        if faults:
            more = [
                Rejected(self.block.line + int(lines[row]), column, reason, self._told(lines[row]))
                for row, (column, reason) in faults.items()
            ]
            kept = np.delete(np.arange(len(frame)), [*faults])
            frame, lines, rejected = frame[kept], lines[kept], [*rejected, *more]
        return Rows(
            frame,
            lines + self.block.line,
            rejected,
            lambda rows: [self._told(at) for at in lines[rows]],
            lambda rows: self._as_text([self._lines[at] for at in lines[rows]]),
        )

    def _told(self, at: int) -> str:
        return self._lines[at].decode("utf-8", "replace")[:LONGEST_TOLD]

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
    """The object on a line; None if there is none, or one with what is no number to JSON or to float64."""
    try:
        row = json.loads(line.decode(), parse_constant=_finite, parse_float=_finite, parse_int=_whole)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _finite(number: str) -> float:
    if not math.isfinite(read := float(number)):
        raise ValueError(number)
    return read


def _whole(number: str) -> int:
    _finite(number)
    return int(number)


def _text(value: object, *, quoted: bool) -> str | None:
    if value is None or (isinstance(value, str) and not quoted):
        return value
    return json.dumps(value)
