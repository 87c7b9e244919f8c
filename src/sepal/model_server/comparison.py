"""Challenger and champion on the same rows, as sums that `registry.evidence` reads."""

from collections.abc import Mapping
from threading import Lock

import numpy as np

from sepal.contracts import Contract, Labels
from sepal.registry.evidence import DIFFERENT, bucket
from sepal.scoring.matrix import Matrix


class Tally:
    """Sums by name, added up by one thread and taken away by another."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._lock = Lock()

    def add(self, sums: Mapping[str, float]) -> None:
        """Add to the sums."""
        with self._lock:
            for name, value in sums.items():
                self._sums[name] = self._sums.get(name, 0.0) + value

    def take(self) -> dict[str, float]:
        """The sums, which begin at nothing again."""
        with self._lock:
            taken, self._sums = self._sums, {}
        return taken

    def beside(self, others: Mapping[str, float]) -> dict[str, float]:
        """The sums with others added; they stay as they are."""
        with self._lock:
            mine = dict(self._sums)
        return {name: mine.get(name, 0.0) + others.get(name, 0.0) for name in {*mine, *others}}


def sound(contract: Contract, answers: object, n_rows: int) -> bool:
    """Whether these are answers to so many rows: of the right shape, and what the contract accepts."""
    return (
        isinstance(answers, np.ndarray)
        and answers.shape == (n_rows, contract.answer_width)
        and contract.target.accepts(answers[:, 1:].T.tolist())
    )


def compared(contract: Contract, champion: Matrix, challenger: Matrix) -> dict[str, float]:
    """How far the challenger's answers are from the champion's, both of shape (n_rows, answer_width)."""
    if isinstance(contract.target, Labels):
        every = np.arange(len(champion))
        label = champion[:, 1].astype(np.intp) + 2
        shift = challenger[every, label] - champion[every, label]
        different = np.count_nonzero(champion[:, 1] != challenger[:, 1])
    else:
        shift = challenger[:, 1] - champion[:, 1]
        different = np.count_nonzero(np.abs(shift) > DIFFERENT * np.abs(champion[:, 1]))
    return {
        "compared": len(champion),
        "different": int(different),
        "shift": float(shift.sum()),
        "shift_squares": float(np.square(shift).sum()),
        "shift_sizes": float(np.abs(shift).sum()),
    }


def timed(n_rows: int, champion: float, challenger: float) -> dict[str, float]:
    """Both times of a pass over the same rows, seconds."""
    return {
        "pairs": 1,
        "pair_rows": n_rows,
        "champion_time": champion,
        "challenger_time": challenger,
        "champion_time_squares": champion**2,
        "challenger_time_squares": challenger**2,
        "time_products": champion * challenger,
        f"champion_bucket_{bucket(champion / n_rows)}": 1,
        f"challenger_bucket_{bucket(challenger / n_rows)}": 1,
    }
