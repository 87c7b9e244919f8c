"""Shadow: the challenger scores copies of live rows, in the time that the server has to spare."""

from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from sepal.contracts import Contract
from sepal.model_server.comparison import compared, timed
from sepal.model_server.trial import WorkerTrial
from sepal.registry.trials import Trial
from sepal.scoring.matrix import Matrix

if TYPE_CHECKING:
    from sepal.scoring.scorer import LoadedVersion

OF_A_CALL = 256
"""Rows of one call that are copied, at the most; of a larger one every second, third … row."""

AT_A_TIME = 0.0005
"""Seconds that one pass should take: only one thread of a process runs Python at a time."""

FEWEST_AT_A_TIME, MOST_AT_A_TIME = 16, 1024
"""Rows of one pass, if so many wait. Fewer are hardly quicker: most of it is the same for any number."""

TIMED = 4
"""One pass in so many is also scored by the champion again, to hold their times against each other."""


class Shadow(WorkerTrial):
    """The champion answers; rows and answers wait, a few, for the trial's own thread to compare them.

    What does not fit into `room` rows, or comes while calls wait, is dropped.
    """

    def __init__(
        self,
        record: Trial,
        contract: Contract,
        challenger: "LoadedVersion",
        champion: "LoadedVersion",
        room: int = 1000,
        waiting: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(record, contract, challenger, champion)
        self._room = room
        self._calls_wait = waiting
        self._queue: deque[tuple[Matrix, Matrix]] = deque()
        self._offered = 0
        self._taken = 0
        self._at_a_time = FEWEST_AT_A_TIME
        self._passes = 0

    def score(self, rows: Matrix, keys: Matrix | None = None) -> Matrix:
        """The champion's answers, as if there were no trial."""
        del keys  # all rows are scored by both
        answers = self.champion.score(rows)
        self._offer(rows, answers)
        return answers

    def work(self) -> float:
        """Score and compare some of the rows that wait; the seconds it took, 0 if there were none."""
        if self._calls_wait():
            self._drop()
            return 0.0
        batch = self._next()
        if batch is None:
            return 0.0
        rows, expected = batch
        started = perf_counter()
        self._compare(rows, expected)
        seconds = perf_counter() - started
        if seconds < AT_A_TIME / 2:
            self._at_a_time = min(MOST_AT_A_TIME, 2 * self._at_a_time)
        elif seconds > AT_A_TIME:
            self._at_a_time = max(FEWEST_AT_A_TIME, self._at_a_time // 2)
        return seconds

    def _offer(self, rows: Matrix, answers: Matrix) -> None:
        """Put a copy where the thread finds it, or drop it. A call's own thread: it must be quick."""
        n_rows = len(rows)
        self.tally.add({"seen": n_rows})
        if self._offered - self._taken >= self._room or self._calls_wait():
            return
        if n_rows > OF_A_CALL:
            step = -(-n_rows // OF_A_CALL)
            rows, answers = rows[::step].copy(), answers[::step].copy()
        self._queue.append((rows, answers))
        self._offered += len(rows)

    def _next(self) -> tuple[Matrix, Matrix] | None:
        """Rows for one pass, shape (n_rows, n_features), with the champion's answers to them."""
        taken: list[tuple[Matrix, Matrix]] = []
        left = self._at_a_time
        while left > 0 and self._queue:
            rows, answers = self._queue.popleft()
            if len(rows) > left:
                self._queue.appendleft((rows[left:], answers[left:]))
                rows, answers = rows[:left], answers[:left]
            taken.append((rows, answers))
            left -= len(rows)
            self._taken += len(rows)
        if not taken:
            return None
        return np.concatenate([rows for rows, _ in taken]), np.concatenate([a for _, a in taken])

    def _drop(self) -> None:
        while self._queue:
            self._taken += len(self._queue.popleft()[0])

    def _compare(self, rows: Matrix, expected: Matrix) -> None:
        self._passes += 1
        is_timed = self.settled and self._passes % TIMED == 0
        champion_first = is_timed and self._passes % (2 * TIMED) == 0
        before = self.time_champion(rows) if champion_first else None
        answers, seconds = self.try_challenger(rows)
        if answers is None:
            return
        self.tally.add(compared(self.contract, expected, answers))
        if is_timed:
            again, champion_seconds = before or self.time_champion(rows)
            if again is not None:
                self.tally.add(timed(len(rows), champion_seconds, seconds))
