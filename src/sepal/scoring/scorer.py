"""Scoring: a version's pipeline as a function from rows to answers, both float64 matrices."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sepal.contracts import Contract, Labels
from sepal.errors import ArtefactError
from sepal.registry import ArtefactStore, Version
from sepal.scoring.evaluators import (
    Classify,
    PlainClassifier,
    Regress,
    compiled_classifier,
    compiled_regressor,
)
from sepal.scoring.matrix import Matrix, example_rows
from sepal.scoring.proof import AGREES, compiled_agrees, proof_rows

logger = logging.getLogger(__name__)

Score = Callable[[Matrix], Matrix]
"""From rows of shape (n_rows, n_features) to answers of shape (n_rows, 1 + target.width)."""

Proof = Callable[[Contract, Any], bool]
"""Whether a pipeline's compiled evaluator answers as scikit-learn does, on rows that the proof chooses."""


@dataclass(frozen=True)
class LoadedVersion:
    """A version that is ready to answer."""

    version: Version
    score: Score
    pipeline: Any = field(repr=False)


def load_version(
    version: Version, contract: Contract, artefacts: ArtefactStore, *, compiled: bool = True
) -> LoadedVersion:
    """Check, load and try out a version; ArtefactError says what is wrong with it.

    With `compiled`, a pipeline that has a compiled evaluator is scored by it, once that
    has answered the rows of training and many random ones as scikit-learn does.
    """
    contract.check_version(version.tag, version.contract_signature)
    pipeline = artefacts.load(version)
    score = scorer(version, contract, pipeline, proof=random_proof if compiled else None)
    _try_out(version, contract, score)
    return LoadedVersion(version, score, pipeline)


def random_proof(contract: Contract, pipeline: Any) -> bool:  # noqa: ANN401 (any scikit-learn estimator)
    """Whether the compiled evaluator answers random rows as scikit-learn does."""
    return bool(compiled_agrees(contract, pipeline, proof_rows(contract, pipeline)))


def scorer(
    version: Version,
    contract: Contract,
    pipeline: Any,  # noqa: ANN401 (any scikit-learn estimator)
    *,
    proof: Proof | None = random_proof,
) -> Score:
    """The function that answers with a pipeline's predictions, laid out as `contracts.wire` says.

    A compiled evaluator is used once `proof` has found that it agrees; without one, scikit-learn.
    """
    if isinstance(contract.target, Labels):
        classify = classifier_of(version, contract, pipeline, proof)
        known = [str(label) for label in pipeline.classes_]
        return _label_scorer(version, [contract.target.names.index(label) for label in known], classify)
    regress = regressor_of(version, contract, pipeline, proof)

    def score(rows: Matrix) -> Matrix:
        answers = np.empty((len(rows), 2))
        answers[:, 0] = version.number
        answers[:, 1] = regress(rows)
        return answers

    return score


def _label_scorer(version: Version, order: list[int], classify: Classify) -> Score:
    """Lay out the answers of a classifier whose classes have these places in the contract."""
    in_order = order == sorted(order)
    codes = np.array(order, dtype=np.float64)
    columns = 2 + np.array(order)

    def score(rows: Matrix) -> Matrix:
        positions, probabilities = classify(rows)
        answers = np.empty((len(rows), 2 + len(order)))
        answers[:, 0] = version.number
        if in_order:
            answers[:, 1] = positions
            answers[:, 2:] = probabilities
        else:
            answers[:, 1] = codes[positions]
            answers[:, columns] = probabilities
        return answers

    return score


def classifier_of(
    version: Version,
    contract: Contract,
    pipeline: Any,  # noqa: ANN401
    proof: Proof | None = random_proof,
) -> Classify:
    """What answers for a pipeline: its compiled evaluator if that is proven, else scikit-learn.

    ArtefactError if its labels are not the contract's, or have no probabilities.
    """
    names = contract.target.names if isinstance(contract.target, Labels) else ()
    known = list(map(str, getattr(pipeline, "classes_", ())))
    if sorted(known) != sorted(names) or not hasattr(pipeline, "predict_proba"):
        raise ArtefactError(
            f"{version.tag} gives {', '.join(known) or 'no labels'}; its contract asks for "
            f"{', '.join(names)}, each with a probability."
        )
    quick = compiled_classifier(pipeline)
    if quick is not None and proof is not None and _proven(version, contract, pipeline, proof):
        return quick
    if quick is None:
        _log_unknown(version)
    return PlainClassifier(pipeline)


def regressor_of(
    version: Version,
    contract: Contract,
    pipeline: Any,  # noqa: ANN401
    proof: Proof | None = random_proof,
) -> Regress:
    """What answers for a pipeline: its compiled evaluator if that is proven, else scikit-learn."""
    quick = compiled_regressor(pipeline)
    if quick is not None and proof is not None and _proven(version, contract, pipeline, proof):
        return quick
    if quick is None:
        _log_unknown(version)
    plain: Regress = pipeline.predict
    return plain


def _log_unknown(version: Version) -> None:
    logger.info("%s is scored by scikit-learn: no compiled evaluator knows all of its steps", version.tag)


def _proven(version: Version, contract: Contract, pipeline: Any, proof: Proof) -> bool:  # noqa: ANN401
    """Whether the compiled evaluator agreed on the rows of training then, and on random ones now."""
    if version.details.get(AGREES) and proof(contract, pipeline):
        return True
    logger.warning("%s is scored by scikit-learn, since its compiled evaluator is not proven", version.tag)
    return False


def _try_out(version: Version, contract: Contract, score: Score) -> None:
    """Answer the contract's example once: the first call is slow, and shows what is broken."""
    try:
        answer = score(example_rows(contract))[:, 1:].T.tolist()
    except Exception as error:
        raise ArtefactError(f"{version.tag} fails on its contract's example: {error}") from error
    if not contract.target.accepts(answer):
        raise ArtefactError(f"{version.tag} answers its contract's example with {answer}.")
