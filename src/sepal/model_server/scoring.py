"""Scoring: a version's pipeline as a function from rows to answers, both float64 matrices."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sepal.contracts import Contract, Labels
from sepal.errors import ArtefactError
from sepal.registry import ArtefactStore, Version

Matrix: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class LoadedVersion:
    """A version that is ready to answer."""

    version: Version
    score: Callable[[Matrix], Matrix]
    """From rows of shape (n_rows, n_features) to answers of shape (n_rows, 1 + target.width)."""


def load_version(version: Version, contract: Contract, artefacts: ArtefactStore) -> LoadedVersion:
    """Check, load and try out a version; ArtefactError says what is wrong with it."""
    if version.contract_signature != contract.signature:
        raise ArtefactError(
            f"{version.tag} was trained for another contract of {contract.name} than the one in "
            f"{contract.source}. Serve it with the contract that it was trained for."
        )
    score = scorer(version, contract, artefacts.load(version))
    _try_out(version, contract, score)
    return LoadedVersion(version, score)


def scorer(version: Version, contract: Contract, pipeline: Any) -> Callable[[Matrix], Matrix]:  # noqa: ANN401 (any scikit-learn estimator)
    """The function that answers with a pipeline's predictions, laid out as `contracts.wire` says."""
    if isinstance(contract.target, Labels):
        return _label_scorer(version, contract.target, pipeline)

    def score(rows: Matrix) -> Matrix:
        answers = np.empty((len(rows), 2))
        answers[:, 0] = version.number
        answers[:, 1] = pipeline.predict(rows)
        return answers

    return score


def _label_scorer(version: Version, target: Labels, pipeline: Any) -> Callable[[Matrix], Matrix]:  # noqa: ANN401
    known = list(map(str, getattr(pipeline, "classes_", ())))
    if sorted(known) != sorted(target.names) or not hasattr(pipeline, "predict_proba"):
        raise ArtefactError(
            f"{version.tag} gives {', '.join(known) or 'no labels'}; its contract asks for "
            f"{', '.join(target.names)}, each with a probability."
        )
    classes = pipeline.classes_
    position = np.array([target.names.index(label) for label in known])

    def score(rows: Matrix) -> Matrix:
        answers = np.empty((len(rows), 2 + len(position)))
        answers[:, 0] = version.number
        answers[:, 1] = position[np.searchsorted(classes, pipeline.predict(rows))]
        answers[:, 2 + position] = pipeline.predict_proba(rows)
        return answers

    return score


def _try_out(version: Version, contract: Contract, score: Callable[[Matrix], Matrix]) -> None:
    """Answer the contract's example once: the first call is slow, and shows what is broken."""
    try:
        answer = score(example_rows(contract))[0, 1:].tolist()
    except Exception as error:
        raise ArtefactError(f"{version.tag} fails on its contract's example: {error}") from error
    if not contract.target.accepts(answer):
        raise ArtefactError(f"{version.tag} answers its contract's example with {answer}.")


def example_rows(contract: Contract) -> Matrix:
    """The contract's example as a matrix of one row."""
    row = contract.features.model_validate(contract.example)
    return np.frombuffer(contract.encode([row])).reshape(1, -1)
