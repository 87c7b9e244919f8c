"""Evaluators: what a pipeline answers, as scikit-learn computes it or as plain array code.

scikit-learn checks its input anew at each of a pipeline's steps: about 0.6 ms a call
however few the rows, and several for a forest. The compiled evaluators do the same
arithmetic, in the same order and precision, on input that the contract has checked.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sepal.scoring.columnwise_compiler import columnwise_classifier, columnwise_regressor
from sepal.scoring.linear import Linear, LinearClassifier, LinearRegressor, Positions
from sepal.scoring.matrix import Matrix


class Classify(Protocol):
    """From rows to labels: with their probabilities, or more cheaply without."""

    def positions(self, rows: Matrix) -> Positions:
        """Each row's position in the pipeline's `classes_`."""
        ...

    def __call__(self, rows: Matrix) -> tuple[Positions, Matrix]:
        """Each row's position in the pipeline's `classes_`, and its probabilities, (n_rows, n_classes)."""
        ...


Regress: TypeAlias = Callable[[Matrix], Matrix]
"""From rows to one number each, (n_rows,)."""


class PlainClassifier:
    """scikit-learn's own answers."""

    def __init__(self, pipeline: Any) -> None:  # noqa: ANN401 (any scikit-learn estimator)
        self._pipeline = pipeline

    def positions(self, rows: Matrix) -> Positions:
        """As `Classify` says."""
        predicted = self._pipeline.predict(rows)
        positions: Positions = np.zeros(len(rows), dtype=np.intp)
        for position, label in enumerate(self._pipeline.classes_):
            positions[predicted == label] = position
        return positions

    def __call__(self, rows: Matrix) -> tuple[Positions, Matrix]:
        """As `Classify` says."""
        return self.positions(rows), self._pipeline.predict_proba(rows)


class ForestClassifier:
    """scikit-learn's own compiled trees one after the other, without its thread pool around them."""

    def __init__(self, scale: Callable[[Matrix], Matrix], forest: RandomForestClassifier) -> None:
        self._scale = scale
        self._trees = [estimator.tree_ for estimator in forest.estimators_]
        self._n_classes = len(forest.classes_)

    def positions(self, rows: Matrix) -> Positions:
        """As `Classify` says."""
        return self(rows)[0]

    def __call__(self, rows: Matrix) -> tuple[Positions, Matrix]:
        """As `Classify` says."""
        scaled = np.ascontiguousarray(self._scale(rows), dtype=np.float32)  # what the trees compare
        probabilities = np.zeros((len(rows), self._n_classes))
        for tree in self._trees:
            probabilities += tree.predict(scaled)
        probabilities /= len(self._trees)
        return probabilities.argmax(axis=1), probabilities


def compiled_classifier(pipeline: Any) -> Classify | None:  # noqa: ANN401
    """The same of a pipeline's known steps; None for any other pipeline.

    These are scalers and a logistic regression or a random forest; or what
    `columnwise_compiler` knows.
    """
    *before, last = _steps(pipeline)
    operations = _scaling(before)
    if operations is None:
        return columnwise_classifier(pipeline)
    if type(last) is LogisticRegression:
        return LinearClassifier(Linear(operations, np.ascontiguousarray(last.coef_.T), last.intercept_))
    if type(last) is RandomForestClassifier and last.n_outputs_ == 1:
        return ForestClassifier(_scaler(operations), last)
    return None


def compiled_regressor(pipeline: Any) -> Regress | None:  # noqa: ANN401
    """What scalers and a linear regression predict, or what `columnwise_compiler` knows; else None."""
    *before, last = _steps(pipeline)
    operations = _scaling(before)
    if operations is None or type(last) not in (LinearRegression, Ridge):
        return columnwise_regressor(pipeline)
    if last.coef_.ndim != 1:
        return None
    weights = np.ascontiguousarray(last.coef_[:, np.newaxis])
    return LinearRegressor(Linear(operations, weights, np.atleast_1d(np.asarray(last.intercept_, float))))


def _steps(pipeline: Any) -> list[BaseEstimator]:  # noqa: ANN401
    return [step for _, step in pipeline.steps] if isinstance(pipeline, Pipeline) else [pipeline]


def _scaling(steps: list[BaseEstimator]) -> tuple[tuple[str, Matrix], ...] | None:
    """The scalers one after the other, as operations of `Linear`; None if there is anything else."""
    if any(type(step) is not StandardScaler for step in steps):
        return None
    operations: list[tuple[str, Matrix]] = []
    for step in steps:
        if step.with_mean:
            operations.append(("subtract", step.mean_))
        if step.with_std:
            operations.append(("divide", step.scale_))
    return tuple(operations)


def _scaler(operations: tuple[tuple[str, Matrix], ...]) -> Callable[[Matrix], Matrix]:
    def scale(rows: Matrix) -> Matrix:
        for name, operand in operations:
            rows = getattr(np, name)(rows, operand)
        return rows

    return scale
