"""Follows the registry: takes up each model's champion at start, and each new one and each trial later."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from typing import TYPE_CHECKING, TypeAlias

from sepal.contracts import Contract
from sepal.errors import NoChampionError, SepalError, reason_of
from sepal.model_server.models import RETRY, Models
from sepal.model_server.prover import PROOF_WAIT, Proof, start_proof
from sepal.model_server.trial_runner import Trials
from sepal.settings import Settings

if TYPE_CHECKING:
    from sepal.registry import Registry
    from sepal.scoring.scorer import LoadedVersion

logger = logging.getLogger(__name__)

_Champion: TypeAlias = tuple[int, str]
"""A version's number, and the SHA-256 of its artefact."""


class Follower:
    """Has a worker's models answer with the champions.

    A champion is loaded, checked and tried out while the version before it goes on
    answering; then one reference is switched. If it can't be loaded, the one before
    stays, and the models' status says why.
    """

    def __init__(
        self, models: Models, settings: Settings, *, retry: float = RETRY, proof_wait: float = PROOF_WAIT
    ) -> None:
        self.trials = Trials(models, settings, retry=retry)
        self._models = models
        self._settings = settings
        self._retry = retry
        self._proof_wait = proof_wait
        self._failed: dict[str, tuple[_Champion, float]] = {}
        self._told: dict[str, str] = {}
        self._stop = threading.Event()
        self._serving = False
        self._outdated: dict[str, threading.Event] = {}

    def look(self, registry: "Registry", first_taken: Callable[[Contract], None] = lambda _c: None) -> None:
        """Take up each champion that does not answer yet.

        `first_taken` is called with the contract of a model that had no version before.
        """
        try:
            champions = registry.champions()
        except SepalError as error:
            for model in self._models.contracts:
                self._refuse(model, None, str(error))
            return
        for model, contract in self._models.contracts.items():
            had_none = self._models.loaded(model) is None
            if self._follow(registry, contract, champions.get(model)) and had_none:
                first_taken(contract)
        self.trials.look(registry)

    def start(self, first_taken: Callable[[Contract], None]) -> None:
        """Look again and again, from a thread of its own, until `stop`."""

        def run() -> None:
            from sepal.registry import Registry

            with Registry.open(self._settings) as registry:
                while not self._stop.wait(self._settings.swap_poll):
                    try:
                        self.look(registry, first_taken)
                    except Exception:
                        logger.exception("the registry can't be followed; trying again")

        self._serving = True
        threading.Thread(target=run, name="follower", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self.trials.stop()

    def _follow(self, registry: "Registry", contract: Contract, champion: _Champion | None) -> bool:
        """Whether a new champion has been taken up."""
        model = contract.name
        if champion is None:
            self._lacks(registry, model)
            return False
        loaded = self._models.loaded(model)
        if loaded and (loaded.version.number, loaded.version.artefact_sha256) == champion:
            self._models.accept(model)
            self._told.pop(model, None)
            return False
        failed, when = self._failed.get(model, (None, 0.0))
        if failed == champion and time.monotonic() < when + self._retry:
            return False
        return self._take(registry, contract, champion)

    def _take(self, registry: "Registry", contract: Contract, champion: _Champion) -> bool:
        # Late, since BentoML's parent process imports this module too, and never scores.
        from sepal.scoring.proof import AGREES
        from sepal.scoring.scorer import load_version

        serving = self._serving
        name, compiled = None, self._settings.compiled_scoring == "on"
        try:
            version = registry.champion(contract.name)
            name = version.name
            loaded = load_version(version, contract, registry.artefacts, compiled=compiled and not serving)
        except Exception as error:  # noqa: BLE001 (whatever is wrong with it, the one before goes on)
            self._failed[contract.name] = champion, time.monotonic()
            why = reason_of(error)
            self._refuse(contract.name, name, why)
            return False
        if contract.name in self._outdated:
            self._outdated.pop(contract.name).set()
        if compiled and serving and version.details.get(AGREES):
            self._take_proven(contract, loaded)
        else:
            self._models.take(contract.name, loaded)
        self._failed.pop(contract.name, None)
        self._told.pop(contract.name, None)
        logger.info("%s is served by %s", contract.name, name)
        return True

    def _take_proven(self, contract: Contract, loaded: "LoadedVersion") -> None:
        """Take a version up by its compiled evaluator, once proven; without it, if the proof takes long."""
        model = contract.name
        outdated = self._outdated[model] = threading.Event()
        proof = start_proof(contract, loaded, outdated)

        def improve(proof: Proof) -> None:
            if proof.exception() is None:
                self._models.improve(model, loaded, proof.result())

        done, _ = wait([proof], self._proof_wait)
        if done and proof.exception() is None:
            self._models.take(model, proof.result())
            return
        self._models.take(model, loaded)
        proof.add_done_callback(improve)

    def _lacks(self, registry: "Registry", model: str) -> None:
        if self._models.loaded(model) is None:
            try:
                registry.champion(model)
            except NoChampionError as error:
                self._refuse(model, None, str(error))

    def _refuse(self, model: str, version: str | None, why: str) -> None:
        self._models.refuse(model, version, why)
        if self._told.get(model) != why:
            self._told[model] = why
            loaded = self._models.loaded(model)
            goes_on = f"{loaded.version.name} goes on answering" if loaded else "it is not served"
            logger.error("%s: %s: %s", model, goes_on, why)
