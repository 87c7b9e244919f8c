"""Evaluators: what a pipeline answers, as scikit-learn computes it or as plain array code.

scikit-learn checks its input anew at each of a pipeline's steps: about 0.6 ms a call
however few the rows, and several for a forest. The compiled evaluators do the same
arithmetic, in the same order and precision, on input that the contract has checked.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sepal.scoring.matrix import Matrix

Positions: TypeAlias = NDArray[np.intp]

Classify: TypeAlias = Callable[[Matrix], tuple[Positions, Matrix]]
"""From rows to each one's position in `classes_` and its probabilities, (n_rows, n_classes)."""

Regress: TypeAlias = Callable[[Matrix], Matrix]
"""From rows to one number each, (n_rows,)."""


def plain_classifier(pipeline: Any) -> Classify:  # noqa: ANN401 (any scikit-learn estimator)
    """scikit-learn's own answer."""
    classes = pipeline.classes_

    def classify(rows: Matrix) -> tuple[Positions, Matrix]:
        return np.searchsorted(classes, pipeline.predict(rows)), pipeline.predict_proba(rows)

    return classify


def compiled_classifier(pipeline: Any) -> Classify | None:  # noqa: ANN401
    """The same of scalers and a logistic regression or a random forest; None for any other pipeline."""
    *before, last = _steps(pipeline)
    scale = _compiled_scalers(before)
    if scale is None:
        return None
    if type(last) is LogisticRegression:
        return _logistic(scale, last)
    if type(last) is RandomForestClassifier and last.n_outputs_ == 1:
        return _forest(scale, last)
    return None


def _logistic(scale: Callable[[Matrix], Matrix], last: Any) -> Classify:  # noqa: ANN401
    weights, intercept = np.ascontiguousarray(last.coef_.T), last.intercept_

    def classify_two(rows: Matrix) -> tuple[Positions, Matrix]:
        decision = (scale(rows) @ weights + intercept)[:, 0]
        second = expit(decision)
        return (decision > 0).astype(np.intp), np.stack((1 - second, second), axis=1)

    def classify_many(rows: Matrix) -> tuple[Positions, Matrix]:
        decision = scale(rows) @ weights + intercept
        positions = decision.argmax(axis=1)
        decision -= decision.max(axis=1, keepdims=True)
        np.exp(decision, out=decision)
        decision /= decision.sum(axis=1, keepdims=True)
        return positions, decision

    return classify_two if len(last.classes_) == 2 else classify_many


def _forest(scale: Callable[[Matrix], Matrix], last: Any) -> Classify:  # noqa: ANN401
    """scikit-learn's own compiled trees one after the other, without its thread pool around them."""
    trees = [estimator.tree_ for estimator in last.estimators_]
    n_classes = len(last.classes_)

    def classify(rows: Matrix) -> tuple[Positions, Matrix]:
        scaled = np.ascontiguousarray(scale(rows), dtype=np.float32)  # what the trees compare
        probabilities = np.zeros((len(rows), n_classes))
        for tree in trees:
            probabilities += tree.predict(scaled)
        probabilities /= len(trees)
        return probabilities.argmax(axis=1), probabilities

    return classify


def compiled_regressor(pipeline: Any) -> Regress | None:  # noqa: ANN401
    """What scalers and a linear regression predict; None for any other pipeline."""
    *before, last = _steps(pipeline)
    scale = _compiled_scalers(before)
    if scale is None or type(last) not in (LinearRegression, Ridge) or last.coef_.ndim != 1:
        return None
    weights, intercept = last.coef_, last.intercept_

    def regress(rows: Matrix) -> Matrix:
        predicted: Matrix = scale(rows) @ weights + intercept
        return predicted

    return regress


def _steps(pipeline: Any) -> list[BaseEstimator]:  # noqa: ANN401
    return [step for _, step in pipeline.steps] if isinstance(pipeline, Pipeline) else [pipeline]


def _compiled_scalers(steps: list[BaseEstimator]) -> Callable[[Matrix], Matrix] | None:
    """The scalers one after the other as one function; None if there is anything else."""
    if any(type(step) is not StandardScaler for step in steps):
        return None
    operations: list[tuple[np.ufunc, Matrix]] = []
    for step in steps:
        if step.with_mean:
            operations.append((np.subtract, step.mean_))
        if step.with_std:
            operations.append((np.divide, step.scale_))

    def scale(rows: Matrix) -> Matrix:
        for operation, by in operations:
            rows = operation(rows, by)
        return rows

    return scale
