"""The models that a worker serves: which version of each is loaded, or why none is."""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from sepal.contracts import Contract
from sepal.errors import SepalError
from sepal.scoring.matrix import Matrix

if TYPE_CHECKING:
    from sepal.scoring.scorer import LoadedVersion

logger = logging.getLogger(__name__)


class ModelNotReadyError(SepalError):
    """A model of which no version could be loaded."""

    status = 503
    title = "Model not ready"


class Models:
    """The champion of each contract, loaded. A model that can't be loaded does not stop the others."""

    def __init__(self, contracts: Iterable[Contract]) -> None:
        self._contracts = {contract.name: contract for contract in contracts}
        self._loaded: dict[str, LoadedVersion] = {}
        self._names: dict[str, dict[int, str]] = {name: {} for name in self._contracts}
        self._failures: dict[str, str] = dict.fromkeys(self._contracts, "not loaded yet")

    def load(self, load_champion: Callable[[Contract], "LoadedVersion"]) -> None:
        """Load the champion of each model."""
        for name, contract in self._contracts.items():
            try:
                loaded = load_champion(contract)
            except SepalError as error:
                self._failures[name] = str(error)
                logger.error("%s is not served: %s", name, error)
            else:
                self._names[name][loaded.version.number] = loaded.version.name
                self._loaded[name] = loaded
                del self._failures[name]
                logger.info("%s is served by %s", name, loaded.version.name)

    def ready(self) -> list[Contract]:
        """The contracts of the models that answer."""
        return [self._contracts[name] for name in self._loaded]

    def score(self, model: str, rows: Matrix) -> Matrix:
        """Answers to the rows of one model; ModelNotReadyError says why there are none."""
        if (loaded := self._loaded.get(model)) is None:
            raise ModelNotReadyError(self._failures[model])
        return loaded.score(rows)

    def version_names(self, model: str) -> dict[int, str]:
        """The name of each version number that has answered for the model."""
        return self._names[model]

    def status(self) -> dict[str, Any]:
        """For each model the version that answers, or the error that keeps it from answering."""
        loaded = {name: {"version": loaded.version.name} for name, loaded in self._loaded.items()}
        return {**loaded, **{name: {"error": why} for name, why in self._failures.items()}}
