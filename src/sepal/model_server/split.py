"""Which rows a canary answers: always the same ones, in every process and after every start."""

import numpy as np
from numpy.typing import NDArray

from sepal.scoring.matrix import Matrix

_Bits = NDArray[np.uint64]

_STEP = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_ALL = 2**64 - 1

_PLACES = 2**53
"""How finely a number in [0, 1) is told: what a float64 has room for."""


class Split:
    """A sticky share of the rows: by a key in [0, 1) that came with a row, else by the row itself.

    Both are mixed with the trial's number, so that trials do not all meet the same rows.
    """

    def __init__(self, trial: int, share: float, n_features: int) -> None:
        self._below = np.uint64(round(share * _PLACES))
        self._salt = np.uint64(_splitmix(trial))
        self._weights = np.array([_splitmix(1000 + at) | 1 for at in range(n_features)], dtype=np.uint64)

    def chosen(self, rows: Matrix, keys: Matrix | None = None) -> NDArray[np.bool_]:
        """Whether each row is of the share.

        `rows` has shape (n_rows, n_features); `keys` shape (n_rows,), NaN for a row without one.
        A key below 0 keeps its row out of the share, one from 1 puts it in.
        """
        if keys is None:
            return self._below_share(self._of_rows(rows))
        keyed = ~np.isnan(keys)
        hashes = (np.where((keys >= 0) & (keys < 1), keys, 0.0) * _PLACES).astype(np.uint64)
        if not keyed.all():
            hashes = np.where(keyed, hashes, self._of_rows(rows))
        chosen: NDArray[np.bool_] = (self._below_share(hashes) | (keys >= 1)) & ~(keys < 0)
        return chosen

    def _of_rows(self, rows: Matrix) -> _Bits:
        bits = (rows + 0.0).view(np.uint64)  # a copy, in which -0.0 is 0.0
        _mix(bits)
        bits *= self._weights
        hashes: _Bits = bits.sum(axis=1, dtype=np.uint64)
        return hashes

    def _below_share(self, hashes: _Bits) -> NDArray[np.bool_]:
        hashes = hashes + self._salt
        _mix(hashes)
        hashes >>= np.uint64(11)
        chosen: NDArray[np.bool_] = hashes < self._below
        return chosen


def _mix(bits: _Bits) -> None:
    """Spread each number's bits over all of them, in place: the finaliser of splitmix64.

    https://prng.di.unimi.it/splitmix64.c
    """
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(_FIRST)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(_SECOND)
    bits ^= bits >> np.uint64(31)


def _splitmix(number: int) -> int:
    """A large number for each small one."""
    bits = np.array([number * _STEP & _ALL], dtype=np.uint64)
    _mix(bits)
    return int(bits[0])
