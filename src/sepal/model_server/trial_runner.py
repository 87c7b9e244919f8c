"""Runs the trials that the registry has: each in every worker, from a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from sepal.contracts import Contract
from sepal.errors import SepalError, reason_of
from sepal.model_server.models import RETRY, Models
from sepal.model_server.prover import PROOF_WAIT, Proof, start_proof
from sepal.settings import Settings

if TYPE_CHECKING:
    from sepal.model_server.trial import WorkerTrial
    from sepal.registry import Registry
    from sepal.registry.trials import Trial
    from sepal.scoring.scorer import LoadedVersion

logger = logging.getLogger(__name__)

IDLE = 0.02
"""Seconds between two looks for work beside the calls."""


class Trials:
    """The trials of one worker, kept as the registry has them.

    `waiting` says whether calls of a model wait in this worker; who knows it sets it.
    """

    def __init__(self, models: Models, settings: Settings, *, retry: float = RETRY) -> None:
        self.waiting: Callable[[str], bool] = lambda _model: False
        self.retry = retry
        self._models = models
        self._settings = settings
        self._runners: dict[str, _Runner] = {}

    def look(self, registry: "Registry") -> None:
        """Begin the trials that are new or broke off a while ago, and leave those that have ended."""
        from sepal.registry.trials import running  # late: BentoML's parent process never scores

        try:
            wanted = running(registry)
        except SepalError:
            return  # the follower has told it; what runs goes on
        for model, contract in self._models.contracts.items():
            runner, record = self._runners.get(model), wanted.get(model)
            if runner is not None and (record is None or record.id != runner.record.id):
                runner.leave()
                del self._runners[model]
                runner = None
            if record is not None and (runner is None or runner.may_begin_again):
                self._runners[model] = _Runner(self, self._models, self._settings, contract, record)

    def stop(self) -> None:
        """Leave all, with what they have counted written down."""
        for runner in self._runners.values():
            runner.leave()
        for runner in self._runners.values():
            runner.join(1.0)


class _Runner:
    """One trial in this worker, from its first look at the challenger to its last sums."""

    def __init__(
        self, trials: Trials, models: Models, settings: Settings, contract: Contract, record: "Trial"
    ) -> None:
        self.record = record
        self._trials = trials
        self._models = models
        self._settings = settings
        self._contract = contract
        self._left = threading.Event()
        self._told: str | None = None
        self._broke_off: float | None = None
        self._thread = threading.Thread(target=self._run, name="trial", daemon=True)
        self._thread.start()

    @property
    def may_begin_again(self) -> bool:
        """Whether it broke off, and long enough ago for what was wrong to have passed."""
        return self._broke_off is not None and time.monotonic() >= self._broke_off + self._trials.retry

    def leave(self) -> None:
        """The trial has ended, or the worker does."""
        self._left.set()

    def join(self, seconds: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(seconds)

    def _run(self) -> None:
        from sepal.registry import Registry

        trial = None
        try:
            with Registry.open(self._settings) as registry:
                challenger = self._load(registry)
                trial = None if challenger is None else self._begin(challenger)
                if trial is not None:
                    self._try(registry, trial)
        except Exception:
            logger.exception("the trial of %s has broken off in this worker", self.record.version)
            self._broke_off = time.monotonic()
        finally:
            if trial is not None:
                self._models.end(trial)  # nobody is left to end it
            self._models.forget_trial(self._contract.name, self.record.id)

    def _load(self, registry: "Registry") -> "LoadedVersion | None":
        """The challenger, checked and warm; None if the trial ended before it could be loaded."""
        from sepal.scoring.matrix import example_rows
        from sepal.scoring.scorer import load_version

        model = self._contract.name
        while not self._left.is_set():
            try:
                version = registry.version(model, self.record.version)
                loaded = load_version(version, self._contract, registry.artefacts, compiled=False)
                for _ in range(3):
                    loaded.score(example_rows(self._contract))
            except Exception as error:  # noqa: BLE001 (whatever is wrong with it, the champion answers)
                why = reason_of(error)
                self._models.refuse_trial(model, self.record, why)
                self._tell(f"{model}: {self.record.version} can't be tried: {why}")
                self._left.wait(self._trials.retry)
            else:
                return loaded
        return None

    def _begin(self, challenger: "LoadedVersion") -> "WorkerTrial | None":
        """Have calls meet the challenger, once the champion of the trial is the one that answers."""
        proof = self._prove(challenger)
        while not self._left.is_set():
            champion = self._models.loaded(self._contract.name)
            if champion is not None and champion.version.number == self.record.champion_number:
                trial = self._made(challenger, champion)
                trial.settled = proof is None
                if self._models.begin(trial):
                    logger.info("%s tries %s", self._contract.name, self.record.version)
                    if proof is not None:
                        proof.add_done_callback(partial(_settle, trial))
                    return trial
            self._left.wait(IDLE)
        return None

    def _prove(self, challenger: "LoadedVersion") -> "Proof | None":
        """The proof that its compiled evaluator answers alike, under way; None if there is none to come."""
        from sepal.scoring.proof import AGREES

        if self._settings.compiled_scoring == "off" or not challenger.version.details.get(AGREES):
            return None
        proof = start_proof(self._contract, challenger, self._left)
        with suppress(Exception):  # it is met again where the trial settles
            proof.result(PROOF_WAIT)
        return proof

    def _made(self, challenger: "LoadedVersion", champion: "LoadedVersion") -> "WorkerTrial":
        from sepal.model_server.shadow import Shadow
        from sepal.model_server.trial import Canary

        if self.record.plan.mode == "canary":
            return Canary(self.record, self._contract, challenger, champion, self._models.end)
        return Shadow(
            self.record,
            self._contract,
            challenger,
            champion,
            self._settings.shadow_rows,
            lambda: self._trials.waiting(self._contract.name),
        )

    def _try(self, registry: "Registry", trial: "WorkerTrial") -> None:
        """Work beside the calls within a share of the time, and write down what was counted."""
        share, every = self._settings.shadow_time, self._settings.trial_write
        due = time.monotonic() + every
        while trial.over is None and self._models.is_on(trial):
            took = trial.work()
            if self._left.wait(max(IDLE / 4, took / share - took) if took else IDLE):
                break
            if time.monotonic() >= due:
                self._write(registry, trial)
                trial.judge()
                due = time.monotonic() + every
        self._models.end(trial)
        while not self._finished(registry, trial) and not self._left.wait(every):
            pass

    def _finished(self, registry: "Registry", trial: "WorkerTrial") -> bool:
        """Whether all is written, and the reason if the trial stopped itself."""
        from sepal.registry.trials import stop_by_itself

        try:
            written = self._write(registry, trial)
            if trial.over is None:
                return written
            stop_by_itself(registry, self.record, trial.over)
        except Exception as error:  # noqa: BLE001 (whatever it is, a trial that stopped itself stays stopped)
            self._tell(f"the trial of {self.record.version} can't be ended yet: {reason_of(error)}")
            return False
        logger.warning("%s is no longer tried: %s", self.record.version, trial.over)
        return written

    def _write(self, registry: "Registry", trial: "WorkerTrial") -> bool:
        from sepal.registry.trials import add

        counts = trial.tally.take()
        if not counts:
            return True
        try:
            trial.known = add(registry, self.record, counts)
        except Exception as error:
            trial.tally.add(counts)
            if not isinstance(error, SepalError):
                raise
            self._tell(f"what the trial of {self.record.version} counted can't be written yet: {error}")
            return False
        self._told = None
        return True

    def _tell(self, what: str) -> None:
        """Log it, once."""
        if self._told != what:
            self._told = what
            logger.error("%s", what)


def _settle(trial: "WorkerTrial", proof: Proof) -> None:
    """Have the challenger answer in its quicker way from now on, if that is proven."""
    if proof.exception() is None:
        trial.challenger = proof.result()
    trial.settled = True
