"""Proof that a compiled evaluator answers as scikit-learn does, before it is used."""

from typing import Any

import numpy as np

from sepal.contracts import Contract, Feature, Labels
from sepal.scoring.evaluators import (
    Classify,
    PlainClassifier,
    Regress,
    compiled_classifier,
    compiled_regressor,
)
from sepal.scoring.linear import LinearEvaluator, dump
from sepal.scoring.matrix import Matrix

TOLERANCE = 1e-12
"""Largest difference of a probability, and relative one of a quantity, that rounding may make."""

RANDOM_ROWS = 100_000


AGREES = "compiled_agrees"
"""Under this name a version's details say whether the proof held on the rows that it was trained on."""


def compiled_agrees(contract: Contract, pipeline: Any, rows: Matrix) -> bool | None:  # noqa: ANN401 (any scikit-learn estimator)
    """Whether the pipeline's compiled evaluator answers these rows as scikit-learn; None if it has none."""
    if isinstance(contract.target, Labels):
        classify = compiled_classifier(pipeline)
        return None if classify is None else classifiers_agree(PlainClassifier(pipeline), classify, rows)
    regress = compiled_regressor(pipeline)
    return None if regress is None else regressors_agree(pipeline.predict, regress, rows)


def dumped_evaluator(contract: Contract, pipeline: Any) -> bytes | None:  # noqa: ANN401
    """The pipeline's linear evaluator as a file; None if it has none, or one that random rows disprove.

    For a pipeline whose compiled evaluator agrees on the rows of training.
    """
    compiler = compiled_classifier if isinstance(contract.target, Labels) else compiled_regressor
    evaluator = compiler(pipeline)
    if not isinstance(evaluator, LinearEvaluator):
        return None
    return dump(evaluator) if compiled_agrees(contract, pipeline, random_rows(contract)) else None


def classifiers_agree(plain: Classify, compiled: Classify, rows: Matrix) -> bool:
    """Whether both give every row the same label, and probabilities within the tolerance."""
    (labels, probabilities), (compiled_labels, compiled_probabilities) = plain(rows), compiled(rows)
    return bool(
        np.array_equal(labels, compiled_labels)
        and np.allclose(probabilities, compiled_probabilities, rtol=0, atol=TOLERANCE)
    )


def regressors_agree(plain: Regress, compiled: Regress, rows: Matrix) -> bool:
    """Whether both give every row the same quantity within the tolerance."""
    expected = plain(rows)
    largest = max(1.0, float(np.abs(expected).max(initial=0.0)))
    return bool(np.allclose(expected, compiled(rows), rtol=TOLERANCE, atol=TOLERANCE * largest))


def random_rows(contract: Contract, n_rows: int = RANDOM_ROWS, seed: int = 0) -> Matrix:
    """Rows drawn evenly from all that a contract takes, shape (n_rows, n_features)."""
    generator = np.random.default_rng(seed)
    return np.column_stack([_draw(column, generator, n_rows) for column in contract.columns])


def _draw(column: Feature, generator: np.random.Generator, n_rows: int) -> Matrix:
    low, high = column.range
    if column.kind == "category":
        values = generator.integers(0, len(column.categories), n_rows).astype(np.float64)
    elif column.kind == "boolean":
        values = generator.integers(0, 2, n_rows).astype(np.float64)
    elif low is None or high is None:
        values = generator.normal(0.0, 1e3, n_rows)
        values = np.clip(values, low, high) if low is not None or high is not None else values
    else:
        values = generator.uniform(low, high, n_rows)
        values = np.rint(values) if column.kind in ("integer", "time") else values
    if column.optional:
        values[generator.random(n_rows) < 0.1] = np.nan
    return values
