"""The values of tensors, in JSON and in binary: little-endian, row-major, as the protocol has them."""

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from math import prod
from typing import Any

from fastapi import HTTPException

from sepal.gateway.protocols.open_inference.documents import Datatype, InputTensor

_ITEMS: dict[Datatype, str] = {
    **{"UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q"},
    **{"INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q"},
    **{"FP32": "f", "FP64": "d"},
}
"""An item of a binary tensor as Python's `array` calls it."""


def read_values(tensors: Sequence[InputTensor], binary: bytes) -> list[list[Any]]:
    """The values of each tensor, flat; HTTPException 400 if they do not fit their shape or datatype.

    `binary` is what follows the JSON: the binary tensors' data, one after the other.
    """
    found, at = [], 0
    for tensor in tensors:
        if (size := tensor.parameters.get("binary_data_size")) is None:
            values = _from_json(tensor)
        else:
            if type(size) is not int or not 0 <= size <= len(binary) - at or tensor.data is not None:
                raise wrong(tensor, f"there are no binary data of {size} bytes for it")
            values = _from_binary(tensor, binary[at : at + size])
            at += size
        if len(values) != prod(tensor.shape):
            raise wrong(tensor, f"{len(values)} values do not fill the shape {tensor.shape}")
        found.append(values)
    if at != len(binary):
        raise HTTPException(400, f"{len(binary) - at} bytes follow that belong to no tensor.")
    return found


def pack_floats(values: "array[float]") -> bytes:
    """FP64 in binary."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def pack_texts(texts: Iterable[str]) -> bytes:
    """BYTES in binary: before each text its length."""
    return b"".join(map(_Packed().__getitem__, texts))


def wrong(tensor: InputTensor, what: str) -> HTTPException:
    """An input that can't be used."""
    return HTTPException(400, f"Input {tensor.name!r}: {what}.")


class _Packed(dict[str, bytes]):
    """Each text as it is packed; there are only a few different ones."""

    def __missing__(self, text: str) -> bytes:
        raw = text.encode()
        self[text] = packed = struct.pack("<I", len(raw)) + raw
        return packed


def _from_json(tensor: InputTensor) -> list[Any]:
    if tensor.data is None:
        raise wrong(tensor, "it has no data")
    values = tensor.data
    for size in tensor.shape[1:]:  # nested, or flat already
        if not values or type(values[0]) is not list:
            break
        if set(map(type, values)) != {list} or set(map(len, values)) != {size}:
            raise wrong(tensor, f"its data are not nested as the shape {tensor.shape} is")
        values = list(chain.from_iterable(values))
    if not set(map(type, values)) <= _json_types(tensor.datatype):
        raise wrong(tensor, f"its data are not all {tensor.datatype}")
    return values


def _json_types(datatype: Datatype) -> set[type]:
    if datatype == "BYTES":
        return {str}
    if datatype == "BOOL":
        return {bool}
    return {int, float} if datatype.startswith("FP") else {int}


def _from_binary(tensor: InputTensor, raw: bytes) -> list[Any]:
    if tensor.datatype == "BYTES":
        return list(_texts(tensor, raw))
    if tensor.datatype == "BOOL":
        if not set(raw) <= {0, 1}:
            raise wrong(tensor, "its data are not all BOOL")
        return list(map(bool, raw))
    if tensor.datatype == "FP16":
        if len(raw) % 2:
            raise wrong(tensor, "its last value is cut off")
        return list(struct.unpack(f"<{len(raw) // 2}e", raw))
    items: array[Any] = array(_ITEMS[tensor.datatype])
    if len(raw) % items.itemsize:
        raise wrong(tensor, "its last value is cut off")
    items.frombytes(raw)
    if sys.byteorder == "big":
        items.byteswap()
    return items.tolist()


def _texts(tensor: InputTensor, raw: bytes) -> Iterable[str]:
    at = 0
    while at < len(raw):
        start = at + 4
        at = start + int.from_bytes(raw[at:start], "little")
        if at > len(raw) or start > len(raw):
            raise wrong(tensor, "its last value is cut off")
        try:
            yield raw[start:at].decode()
        except UnicodeDecodeError as error:
            raise wrong(tensor, "its texts are not UTF-8") from error
