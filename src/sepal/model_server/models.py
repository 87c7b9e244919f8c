"""The models that a worker serves: which version of each is loaded, or why none is."""

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sepal.contracts import Contract
from sepal.errors import SepalError
from sepal.scoring.matrix import Matrix

if TYPE_CHECKING:
    from sepal.model_server.trial import WorkerTrial
    from sepal.registry.trials import Trial
    from sepal.scoring.scorer import LoadedVersion, Score


RETRY = 5.0
"""Seconds after which a version that could not be loaded is tried again: its file may be restored."""


class ModelNotReadyError(SepalError):
    """A model of which no version could be loaded."""

    status = 503
    title = "Model not ready"


class Models:
    """The version of each contract that answers. A model without one does not stop the others.

    All but `score` and `score_keyed` may be called from other threads: each changes one
    reference, and a call reads it once. What it finds there is the champion's function, or
    the function of a trial that has the champion's inside.
    """

    def __init__(self, contracts: Iterable[Contract]) -> None:
        self.contracts = {contract.name: contract for contract in contracts}
        self._loaded: dict[str, LoadedVersion] = {}
        self._answering: dict[str, Score] = {}
        self._trials: dict[str, WorkerTrial] = {}
        self._trials_refused: dict[str, tuple[Trial, str]] = {}
        self._changing = threading.Lock()
        self._names: dict[str, dict[int, str]] = {name: {} for name in self.contracts}
        self.swaps = dict.fromkeys(self.contracts, 0)
        """How often a version of each took the place of another."""
        self._refused: dict[str, tuple[str | None, str]] = dict.fromkeys(
            self.contracts, (None, "not loaded yet")
        )

    def take(self, model: str, loaded: "LoadedVersion") -> None:
        """Have a version answer from now on."""
        self._names[model][loaded.version.number] = loaded.version.name
        with self._changing:
            self.swaps[model] += model in self._loaded
            self._switch(model, loaded)
        self._refused.pop(model, None)

    def improve(self, model: str, loaded: "LoadedVersion", quicker: "LoadedVersion") -> None:
        """Have a version answer in a quicker way, if it is still the one that answers."""
        with self._changing:
            if self._loaded.get(model) is loaded:
                self._switch(model, quicker)

    def _switch(self, model: str, loaded: "LoadedVersion") -> None:
        """The champion has changed. A trial beside another one is none any more."""
        self._loaded[model] = loaded
        trial = self._trials.get(model)
        if trial is not None and trial.record.champion_number == loaded.version.number:
            trial.champion = loaded
        else:
            self._trials.pop(model, None)
            self._answering[model] = loaded.score

    def begin(self, trial: "WorkerTrial") -> bool:
        """Have calls meet a challenger; False if the champion beside it does not answer any more."""
        model, challenger = trial.contract.name, trial.challenger.version
        self._names[model][challenger.number] = challenger.name
        with self._changing:
            if self._loaded.get(model) is not trial.champion:
                return False
            self._trials[model] = trial
            self._answering[model] = trial.score
            self._trials_refused.pop(model, None)
            return True

    def end(self, trial: "WorkerTrial") -> None:
        """Have the champion alone answer again, if this trial is the one that runs."""
        model = trial.contract.name
        with self._changing:
            if self._trials.get(model) is trial:
                self._answering[model] = self._loaded[model].score
                del self._trials[model]

    def is_on(self, trial: "WorkerTrial") -> bool:
        """Whether calls meet this trial."""
        return self._trials.get(trial.contract.name) is trial

    def refuse_trial(self, model: str, record: "Trial", why: str) -> None:
        """Keep why a challenger can't be tried."""
        self._trials_refused[model] = record, why

    def forget_trial(self, model: str, trial_id: int) -> None:
        """The trial has ended: what was wrong with it is of no interest any more."""
        record, _ = self._trials_refused.get(model, (None, ""))
        if record is not None and record.id == trial_id:
            self._trials_refused.pop(model, None)

    def refuse(self, model: str, version: str | None, why: str) -> None:
        """Keep what answers, if anything does, and why a version, or any, could not take its place."""
        self._refused[model] = version, why

    def accept(self, model: str) -> None:
        """What answers is what should: nothing is refused any more."""
        self._refused.pop(model, None)

    def loaded(self, model: str) -> "LoadedVersion | None":
        """The version that answers."""
        return self._loaded.get(model)

    def ready(self) -> list[Contract]:
        """The contracts of the models that answer."""
        return [self.contracts[name] for name in self._loaded]

    def score(self, model: str, rows: Matrix) -> Matrix:
        """Answers to rows of one model, all by one version, but for a canary's share.

        ModelNotReadyError says why there are none.
        """
        if (answering := self._answering.get(model)) is None:
            raise ModelNotReadyError(self._refused[model][1])
        return answering(rows)

    def score_keyed(self, model: str, rows: Matrix, keys: Matrix) -> Matrix:
        """The same of rows that came with keys, shape (n_rows,), by which a canary tells them apart."""
        trial = self._trials.get(model)
        return self.score(model, rows) if trial is None else trial.score(rows, keys)

    def version_names(self, model: str) -> dict[int, str]:
        """The name of each version number that has answered for the model."""
        return self._names[model]

    def status(self) -> dict[str, Any]:
        """For each model the version that answers, or the error that keeps it from answering.

        And beside a version that answers the one that should but could not be loaded, and
        the one that is on trial.
        """
        return {name: self._status(name) for name in self.contracts}

    def _status(self, name: str) -> dict[str, Any]:
        refused = self._refused.get(name)
        if (loaded := self._loaded.get(name)) is None:
            return {"error": refused[1] if refused else "not loaded yet"}
        status: dict[str, Any] = {"version": loaded.version.name}
        if refused is not None:
            status["refused"] = {"version": refused[0], "reason": refused[1]}
        if (trial := self._trials.get(name)) is not None:
            status["trial"] = _told(trial.record)
        elif (not_tried := self._trials_refused.get(name)) is not None:
            status["trial"] = {**_told(not_tried[0]), "error": not_tried[1]}
        return status


def _told(record: "Trial") -> dict[str, Any]:
    share = {"share": record.plan.share} if record.plan.mode == "canary" else {}
    return {"version": record.version, "mode": record.plan.mode, **share}
