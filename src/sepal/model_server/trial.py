"""A trial in one worker: what is common to shadow and canary, and the canary."""

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from sepal.contracts import Contract
from sepal.model_server.comparison import Tally, compared, sound, timed
from sepal.model_server.split import Split
from sepal.registry.evidence import reason_to_stop
from sepal.registry.trials import Counts, Trial
from sepal.scoring.matrix import Matrix

if TYPE_CHECKING:
    from sepal.scoring.scorer import LoadedVersion

SAMPLE_EVERY = 0.02
"""Seconds between two passes of a canary that the champion scores too, at the least."""

SAMPLE_COST = 0.02
"""Part of the worker's time that these may take, at the most."""


class WorkerTrial:
    """The challenger beside the champion. `score` takes the place of the champion's.

    `known` are the sums of all workers when this one last wrote its own; `over` says why
    the trial has to end, once it has.
    """

    def __init__(
        self,
        record: Trial,
        contract: Contract,
        challenger: "LoadedVersion",
        champion: "LoadedVersion",
    ) -> None:
        self.record = record
        self.contract = contract
        self.challenger = challenger
        self.champion = champion
        self.tally = Tally()
        self.known: Counts = {}
        self.over: str | None = None
        self.settled = True
        """Whether the challenger answers in its final way; until then its time tells nothing."""

    def score(self, rows: Matrix, keys: Matrix | None = None) -> Matrix:
        """Answers to rows of shape (n_rows, n_features), with keys of shape (n_rows,) if they have any."""
        raise NotImplementedError

    def work(self) -> float:
        """Do some of what is done beside the calls, from the trial's own thread; the seconds it took."""
        return 0.0

    def judge(self) -> None:
        """Stop a trial that has crossed its bounds, if it has any."""

    def try_challenger(self, rows: Matrix) -> tuple[Matrix | None, float]:
        """Its answers, None if it raised or they are none, and the seconds that they took. Counted."""
        started = perf_counter()
        answers = answers_of(self.challenger, rows)
        seconds = perf_counter() - started
        if answers is not None and sound(self.contract, answers, len(rows)):
            self.tally.add({"rows": len(rows), "passes": 1})
            return answers, seconds
        self.tally.add({"rows": len(rows), "passes": 1, "errors": len(rows), "failed_passes": 1})
        return None, seconds

    def time_champion(self, rows: Matrix) -> tuple[Matrix | None, float]:
        """The champion's answers to rows that the challenger has too, and the seconds that they took."""
        started = perf_counter()
        answers = answers_of(self.champion, rows)
        seconds = perf_counter() - started
        if answers is None:
            self.tally.add({"champion_errors": len(rows)})
        return answers, seconds


class Canary(WorkerTrial):
    """The challenger answers its share of the rows, the champion the others and those it leaves."""

    def __init__(
        self,
        record: Trial,
        contract: Contract,
        challenger: "LoadedVersion",
        champion: "LoadedVersion",
        stopped: Callable[[WorkerTrial], None] = lambda _trial: None,
    ) -> None:
        super().__init__(record, contract, challenger, champion)
        self._stopped = stopped
        self._split = Split(record.id, record.plan.share, len(contract.columns))
        self._next_sample = 0.0
        self._champion_first = False

    def score(self, rows: Matrix, keys: Matrix | None = None) -> Matrix:
        """As `WorkerTrial` says. Each version scores its own rows in a pass of its own."""
        champion = self.champion
        self.tally.add({"seen": len(rows)})
        chosen = self._split.chosen(rows, keys)
        count = int(np.count_nonzero(chosen))
        if count == 0 or self.over is not None:
            return champion.score(rows)
        whole = count == len(rows)
        answers = self._challenge(rows if whole else rows[chosen])
        if answers is None:
            return champion.score(rows)
        if whole:
            return answers
        others = ~chosen
        merged = np.empty((len(rows), answers.shape[1]))
        merged[chosen] = answers
        merged[others] = champion.score(rows[others])
        return merged

    def judge(self) -> None:
        """As `WorkerTrial` says: the bounds are the plan's."""
        if self.over is not None:
            return
        plan, counts = self.record.plan, self.tally.beside(self.known)
        self.over = reason_to_stop(counts, plan.max_errors, plan.max_latency, plan.min_rows)
        if self.over is not None:
            self._stopped(self)

    def _challenge(self, rows: Matrix) -> Matrix | None:
        """The challenger's answers; now and then the champion's too, to compare. None if it failed."""
        sampled = perf_counter() >= self._next_sample
        self._champion_first = sampled and not self._champion_first
        first = self._champion_first
        before = self.time_champion(rows) if sampled and first else None
        answers, seconds = self.try_challenger(rows)
        if answers is None:
            self.judge()
            return None
        if sampled:
            expected, champion_seconds = before or self.time_champion(rows)
            self._next_sample = perf_counter() + max(SAMPLE_EVERY, champion_seconds / SAMPLE_COST)
            if expected is not None:
                self.tally.add(compared(self.contract, expected, answers))
                if self.settled:
                    self.tally.add(timed(len(rows), champion_seconds, seconds))
            self.judge()
        return answers


def answers_of(version: "LoadedVersion", rows: Matrix) -> Matrix | None:
    """A version's answers; None if it raises."""
    try:
        return version.score(rows)
    except Exception:  # noqa: BLE001 (whatever it is, it is counted)
        return None
