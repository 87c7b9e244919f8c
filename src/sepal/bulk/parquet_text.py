"""Text of Parquet files in bounded memory: how much of it there is, and tables cut by it.

A file may keep each different text once, in a dictionary, and for each row only its
number. The footer knows the size of that, and not how large the rows' texts are together.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_LARGEST_DICTIONARY = 1 << 20
"""Bytes; the usual writers begin no new text in one that is larger, and write the others as they are."""

_NUMBER_BYTES = 3
"""Bytes that the number of a text takes at most in a dictionary of that size."""

_TEXTS = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())

_TOLERATED = 2
"""A table is cut if it has so many times the text that it should."""


def text_bytes(metadata: Any, columns: Sequence[str]) -> list[int]:  # noqa: ANN401 (pyarrow ships no types)
    """For each row group the bytes, as they are in the file, of these columns' texts and nested values."""
    groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
    places = [at for at in range(metadata.num_columns) if _holds_text(metadata.schema.column(at), columns)]
    return [sum(group.column(at).total_uncompressed_size for at in places) for group in groups]


def _holds_text(leaf: Any, columns: Sequence[str]) -> bool:  # noqa: ANN401
    if leaf.path in columns:
        return bool(leaf.physical_type == "BYTE_ARRAY")
    return any(leaf.path.startswith(f"{name}.") for name in columns)


def in_dictionaries(parquet: Any, columns: Sequence[str], groups: Sequence[int]) -> list[str]:  # noqa: ANN401
    """The columns whose texts some of the row groups have in dictionaries."""
    metadata, schema = parquet.metadata, parquet.schema_arrow
    return [
        leaf.path
        for at in range(metadata.num_columns)
        if (leaf := metadata.schema.column(at)).path in columns
        and schema.field(leaf.path).type in _TEXTS
        and any(_is_in_dictionary(metadata.row_group(group).column(at)) for group in groups)
    ]


def _is_in_dictionary(column: Any) -> bool:  # noqa: ANN401
    """Whether it may be a dictionary and numbers of it alone; text beyond one is quicker read plainly."""
    size, most = column.total_uncompressed_size, _LARGEST_DICTIONARY + _NUMBER_BYTES * column.num_values
    return bool(column.has_dictionary_page and size <= most)


def pieces(table: Any, n_bytes: int) -> Iterator[Any]:  # noqa: ANN401
    """A table as it is, or as parts with about so many bytes of text each."""
    ends = np.cumsum(_row_bytes(table))
    if not len(ends) or ends[-1] <= _TOLERATED * n_bytes:
        yield table
        return
    start = 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + n_bytes, side="right")))
        yield table.slice(start, end - start)
        start = end


def _row_bytes(table: Any) -> NDArray[np.int64]:  # noqa: ANN401
    """How many bytes each row's texts and nested values take once they are decoded, (n_rows,)."""
    sizes = np.zeros(len(table), dtype=np.int64)
    for column in table.columns:
        at = 0
        for chunk in column.chunks:
            sizes[at : at + len(chunk)] += _value_bytes(chunk)
            at += len(chunk)
    return sizes


def _value_bytes(array: Any) -> Any:  # noqa: ANN401 (a number of bytes for each value, or for all)
    kind = array.type
    if pa.types.is_dictionary(kind):
        values = _value_bytes(array.dictionary)
        if not len(array.dictionary) or not isinstance(values, np.ndarray):
            return 0
        return values[array.indices.fill_null(0).to_numpy(zero_copy_only=False)]
    if kind in _TEXTS:
        return pc.binary_length(array).fill_null(0).to_numpy(zero_copy_only=False)
    return array.nbytes // max(1, len(array)) if pa.types.is_nested(kind) else 0


def decoded(table: Any, schema: Any) -> Any:  # noqa: ANN401
    """A table with its columns in the types of a schema: dictionaries give their texts."""
    for at, column in enumerate(table.columns):
        field = schema.field(table.column_names[at])
        if column.type != field.type:
            chunks = [chunk.dictionary_decode().cast(field.type) for chunk in column.chunks]
            table = table.set_column(at, field, pa.chunked_array(chunks, type=field.type))
    return table
