"""Joins Parquet files of one row group each into one file, by their footers alone.

A Parquet file is its row groups' bytes, then a footer that says where in the file they
are (https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).
So bytes that are written and durable stay as they are; only the footer of the whole is
made anew: footers are read as generic Thrift structs, offsets moved, and written again
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

MAGIC = b"PAR1"

Struct: TypeAlias = dict[int, tuple[int, Any]]
"""A Thrift struct: field number to type and value."""

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)

# Field numbers, from parquet.thrift.
_ROWS, _ROW_GROUPS = 3, 4  # FileMetaData
_COLUMNS, _GROUP_OFFSET, _ORDINAL = 1, 5, 7  # RowGroup
_CHUNK_OFFSET, _CHUNK_METADATA = 2, 3  # ColumnChunk
_LARGEST_ORDINAL = 2**15 - 1
_PAGE_INDEXES = (4, 5, 6, 7)  # ColumnChunk: of indexes that lie outside the row group
_PAGE_OFFSETS = (9, 10, 11, 14)  # ColumnMetaData: data, index, dictionary pages, bloom filter


@dataclass(frozen=True)
class RowGroup:
    """One row group: the bytes of its pages, and the footer of a file of which it is all."""

    pages: bytes
    footer: bytes

    @classmethod
    def of_file(cls, file: bytes) -> "RowGroup":
        """Take a whole Parquet file of one row group apart."""
        start = len(file) - 8 - int.from_bytes(file[-8:-4], "little")
        return cls(file[len(MAGIC) : start], file[start:-8])


def joined_footer(groups: Iterable[tuple[bytes, int]]) -> bytes:
    """The end of a file that holds row groups, given by their footers and the offsets of their pages."""
    whole: Struct | None = None
    for ordinal, (footer, offset) in enumerate(groups):
        struct, _ = _read_struct(footer, 0)
        for group in struct[_ROW_GROUPS][1][1]:
            _move(group, offset - len(MAGIC), ordinal)
        if whole is None:
            whole = struct
        else:
            whole[_ROWS] = (_I64, whole[_ROWS][1] + struct[_ROWS][1])
            whole[_ROW_GROUPS][1][1].extend(struct[_ROW_GROUPS][1][1])
    if whole is None:
        raise ValueError("A Parquet file needs one row group, if only an empty one.")
    footer = _written_struct(whole)
    return footer + len(footer).to_bytes(4, "little") + MAGIC


def _move(group: Struct, by: int, ordinal: int) -> None:
    _add(group, _GROUP_OFFSET, by)
    group.pop(_ORDINAL, None)
    if ordinal <= _LARGEST_ORDINAL:
        group[_ORDINAL] = (_I16, ordinal)
    for column in group[_COLUMNS][1][1]:
        _add(column, _CHUNK_OFFSET, by)
        for field in _PAGE_INDEXES:
            column.pop(field, None)
        for field in _PAGE_OFFSETS:
            _add(column[_CHUNK_METADATA][1], field, by)


def _add(struct: Struct, field: int, by: int) -> None:
    if field in struct and struct[field][1] > 0:
        struct[field] = (struct[field][0], struct[field][1] + by)


def _read_struct(data: bytes, at: int) -> tuple[Struct, int]:
    struct: Struct = {}
    field = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            field += head >> 4
        else:
            field, at = _read_signed(data, at)
        kind = head & 15
        value: Any = kind == _TRUE
        if kind not in (_TRUE, _FALSE):
            value, at = _read(data, at, kind)
        struct[field] = (kind, value)
    return struct, at + 1


def _read(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (_I16, _I32, _I64):
        return _read_signed(data, at)
    if kind in (_BYTE, _TRUE, _FALSE):  # inside a list, a truth value is a byte
        return data[at : at + 1], at + 1
    if kind == _DOUBLE:
        return data[at : at + 8], at + 8
    if kind == _BINARY:
        length, at = _read_unsigned(data, at)
        return data[at : at + length], at + length
    if kind in (_LIST, _SET):
        head, at = data[at], at + 1
        length, inner = head >> 4, head & 15
        if length == 15:
            length, at = _read_unsigned(data, at)
        values = []
        for _ in range(length):
            value, at = _read(data, at, inner)
            values.append(value)
        return (inner, values), at
    if kind == _STRUCT:
        return _read_struct(data, at)
    raise ValueError(f"Parquet's footers have no Thrift type {kind}.")


def _read_unsigned(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _read_signed(data: bytes, at: int) -> tuple[int, int]:
    value, at = _read_unsigned(data, at)
    return value >> 1 ^ -(value & 1), at


def _written_struct(struct: Struct) -> bytes:
    parts: list[bytes] = []
    before = 0
    for field, (kind, value) in sorted(struct.items()):
        step = field - before
        parts.append(bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + _signed(field))
        if kind not in (_TRUE, _FALSE):
            parts.append(_written(kind, value))
        before = field
    return b"".join(parts) + b"\0"


def _written(kind: int, value: Any) -> bytes:  # noqa: ANN401 (a Thrift value of any type)
    if kind in (_I16, _I32, _I64):
        return _signed(value)
    if kind in (_BYTE, _TRUE, _FALSE, _DOUBLE):
        return bytes(value)
    if kind == _BINARY:
        return _unsigned(len(value)) + bytes(value)
    if kind == _STRUCT:
        return _written_struct(value)
    inner, values = value
    length = len(values)
    head = bytes([length << 4 | inner]) if length < 15 else bytes([0xF0 | inner]) + _unsigned(length)
    return head + b"".join(_written(inner, each) for each in values)


def _unsigned(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _signed(value: int) -> bytes:
    return _unsigned(value << 1 if value >= 0 else (-value << 1) - 1)
