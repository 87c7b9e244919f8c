"""How rows and answers travel between the tiers: little-endian float64, row after row.

A request is a matrix of shape (n_rows, n_features) in contract order. Its answer has
shape (n_rows, 1 + target.width): the number of the version that answered that very
row, then the target's numbers. A header of the answer names the numbered versions,
so that rows of two versions may share one answer.
"""

import sys
from array import array
from collections.abc import Iterable

MEDIA_TYPE = "application/vnd.sepal.float64"

KEYED_MEDIA_TYPE = "application/vnd.sepal.keyed-float64"
"""Of a request in which a key follows for each row after all rows: a number in [0, 1) by which a
canary tells rows apart, or NaN for a row that has none."""

CONTRACT_HEADER = "Sepal-Contract"
"""Of a request: the signature of the contract by which its rows were encoded."""

VERSIONS_HEADER = "Sepal-Versions"
"""Of an answer: a JSON object from version number to version name."""

TIME_LEFT_HEADER = "Sepal-Time-Left"
"""Of a request: the seconds for which somebody still waits for its answer."""

ITEM_BYTES = 8


def pack(numbers: Iterable[float]) -> bytes:
    """Numbers to bytes."""
    packed = array("d", numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack(body: bytes) -> "array[float]":
    """Bytes to numbers; the inverse of `pack`. ValueError if a number is cut off."""
    unpacked = array("d", body)
    if sys.byteorder == "big":
        unpacked.byteswap()
    return unpacked
