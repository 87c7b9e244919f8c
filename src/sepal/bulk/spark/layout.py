"""How the rows that a task gives to Spark are laid out, so that one write holds all that came of them.

Scored rows, rejected ones and counts leave a task together, and Spark commits them together
or not at all: whatever was tried twice, what is there was written once. Their kind is a
column that becomes a folder. Rejected rows and counts are JSON in a column of text that
any output has, so that the folder of scored rows has the output's columns and no other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import polars as pl
import pyarrow as pa

from sepal.bulk.outputs import NULL, Output
from sepal.errors import DataError

KIND, ORDER = "sepal_kind", "sepal_order"
SCORED, REJECTED, COUNTS = range(3)

_MOST_ROWS = 1 << 16
"""Rows of Parquet that are handed over at a time."""


class Layout(Protocol):
    """How rows of an output are handed to Spark."""

    @property
    def format(self) -> str:
        """Spark's name of the format that they are written in."""
        ...

    @property
    def carrier(self) -> str:
        """The column of text that holds rejected rows and counts."""
        ...

    @property
    def keys(self) -> Sequence[str]:
        """The columns, beside the kind, that become folders."""
        ...

    @property
    def schema(self) -> Any:  # noqa: ANN401 (pyarrow.Schema)
        """The columns of what is handed over."""
        ...

    def scored(self, frame: pl.DataFrame, chunk: int) -> Iterator[Any]:
        """Rows of the output as record batches, those of a span's chunk of that number, from 0."""
        ...

    def told(self, kind: int, text: str) -> Any:  # noqa: ANN401 (pyarrow.RecordBatch)
        """A line of rejected rows, or of counts."""
        ...


def layout_of(output: Output, schema: pl.Schema) -> Layout:
    """The layout of an output whose rows have a schema. DataError if Spark can't write it."""
    if output.format == "parquet":
        return ParquetLayout(schema, tuple(output.partition_by))
    if output.compression == "zstd":
        raise DataError("Spark writes no text compressed with zstd: name the output .gz, or .parquet.")
    return TextLayout(replace(output, compression=None))


@dataclass(frozen=True)
class TextLayout:
    """CSV and JSON Lines: what the local engine writes of a chunk is one value of text."""

    output: Output
    format = "text"
    carrier = "value"
    keys = ()

    @property
    def schema(self) -> Any:  # noqa: ANN401
        """As `Layout` says."""
        return pa.schema([_kind_field(), pa.field(self.carrier, pa.string())])

    def scored(self, frame: pl.DataFrame, chunk: int) -> Iterator[Any]:
        """As `Layout` says; every part has a header, and Spark adds the last line break."""
        for segment in self.output.segments(frame, first=chunk == 0):
            if segment.data:
                yield self._batch(SCORED, segment.data.removesuffix(b"\n"))

    def told(self, kind: int, text: str) -> Any:  # noqa: ANN401
        """As `Layout` says."""
        return self._batch(kind, text.encode())

    def _batch(self, kind: int, text: bytes) -> Any:  # noqa: ANN401
        columns = [pa.array([kind], pa.int32()), pa.array([text], pa.string())]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


@dataclass(frozen=True)
class ParquetLayout:
    """Parquet: the columns of the output, in the nearest types that Spark has."""

    output_schema: pl.Schema
    keys: tuple[str, ...]
    format = "parquet"
    carrier = "model_version"

    @cached_property
    def schema(self) -> Any:  # noqa: ANN401
        """As `Layout` says; keys are text, and with keys the last column is the order of the rows."""
        found = pl.DataFrame(schema=self.output_schema).to_arrow().schema
        columns = [pa.field(each.name, _plain(each.type)) for each in found if each.name not in self.keys]
        keys = [pa.field(key, pa.string(), nullable=False) for key in self.keys]
        order = [pa.field(ORDER, pa.int64(), nullable=False)] if keys else []
        return pa.schema([_kind_field(), *keys, *columns, *order])

    def scored(self, frame: pl.DataFrame, chunk: int) -> Iterator[Any]:
        """As `Layout` says."""
        added = [pl.Series(KIND, [SCORED], pl.Int32).new_from_index(0, len(frame))]
        added += [_folders(frame[key]) for key in self.keys]
        order = pl.int_range(len(frame), eager=True) + (chunk << 32)
        table = frame.with_columns(*added, order.alias(ORDER)).select(self.schema.names).to_arrow()
        yield from table.cast(self.schema, safe=False).to_batches(_MOST_ROWS)

    def told(self, kind: int, text: str) -> Any:  # noqa: ANN401
        """As `Layout` says; no key is null."""
        values: dict[str, object] = {
            KIND: kind,
            self.carrier: text,
            ORDER: 0,
            **dict.fromkeys(self.keys, NULL),
        }
        columns = [pa.array([values.get(each.name)], each.type) for each in self.schema]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def _folders(keys: pl.Series) -> pl.Series:
    """Keys as the local engine names folders by them, none of them null or empty."""
    there = keys.unique().drop_nulls()
    names = [str(key) or NULL for key in there]
    return keys.replace_strict(there, names, default=NULL, return_dtype=pl.String)


def _kind_field() -> Any:  # noqa: ANN401 (pyarrow.Field)
    return pa.field(KIND, pa.int32(), nullable=False)


_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.null(): pa.string(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}


def _plain(kind: Any) -> Any:  # noqa: ANN401 (pyarrow.DataType)
    """The type that Spark has for a type of Arrow's, or for one that holds its values."""
    if pa.types.is_dictionary(kind) or pa.types.is_time(kind):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if pa.types.is_duration(kind):
        return pa.duration("us")
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(each.name, _plain(each.type)) for each in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain(kind.value_type))
    return _WIDER.get(kind, kind)
