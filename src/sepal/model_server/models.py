"""The models that a worker serves: which version of each is loaded, or why none is."""

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sepal.contracts import Contract
from sepal.errors import SepalError
from sepal.scoring.matrix import Matrix

if TYPE_CHECKING:
    from sepal.scoring.scorer import LoadedVersion


class ModelNotReadyError(SepalError):
    """A model of which no version could be loaded."""

    status = 503
    title = "Model not ready"


class Models:
    """The version of each contract that answers. A model without one does not stop the others.

    All but `score` may be called from other threads: each changes one reference, and a
    call to `score` reads it once.
    """

    def __init__(self, contracts: Iterable[Contract]) -> None:
        self.contracts = {contract.name: contract for contract in contracts}
        self._loaded: dict[str, LoadedVersion] = {}
        self._changing = threading.Lock()
        self._names: dict[str, dict[int, str]] = {name: {} for name in self.contracts}
        self._refused: dict[str, tuple[str | None, str]] = dict.fromkeys(
            self.contracts, (None, "not loaded yet")
        )

    def take(self, model: str, loaded: "LoadedVersion") -> None:
        """Have a version answer from now on."""
        self._names[model][loaded.version.number] = loaded.version.name
        with self._changing:
            self._loaded[model] = loaded
        self._refused.pop(model, None)

    def improve(self, model: str, loaded: "LoadedVersion", quicker: "LoadedVersion") -> None:
        """Have a version answer in a quicker way, if it is still the one that answers."""
        with self._changing:
            if self._loaded.get(model) is loaded:
                self._loaded[model] = quicker

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
        """Answers to rows of one model, all by one version; ModelNotReadyError says why there are none."""
        if (loaded := self._loaded.get(model)) is None:
            raise ModelNotReadyError(self._refused[model][1])
        return loaded.score(rows)

    def version_names(self, model: str) -> dict[int, str]:
        """The name of each version number that has answered for the model."""
        return self._names[model]

    def status(self) -> dict[str, Any]:
        """For each model the version that answers, or the error that keeps it from answering.

        And beside a version that answers the one that should but could not be loaded.
        """
        return {name: self._status(name) for name in self.contracts}

    def _status(self, name: str) -> dict[str, Any]:
        refused = self._refused.get(name)
        if (loaded := self._loaded.get(name)) is None:
            return {"error": refused[1] if refused else "not loaded yet"}
        if refused is None:
            return {"version": loaded.version.name}
        version, why = refused
        return {"version": loaded.version.name, "refused": {"version": version, "reason": why}}
