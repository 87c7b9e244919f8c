"""Measures a fitted pipeline on rows whose target is known."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    log_loss,
    mean_absolute_error,
    root_mean_squared_error,
)
from sklearn.pipeline import Pipeline

from model_training.gate import Losses
from model_training.tables import Floats
from sepal.contracts import Labels, Target


def metrics(
    target: Target, pipeline: Pipeline, X: Floats, y: npt.NDArray[Any], mean: float | None = None
) -> dict[str, float]:
    """Metrics by name on rows X of shape (n_rows, n_features) with targets y of shape (n_rows,).

    For labels: `accuracy` and `log_loss` (nats). For a quantity, in its unit: `rmse`,
    `mae`, and `rmse_of_mean`, the RMSE of always answering `mean`, the mean of the
    training rows' targets.
    """
    if isinstance(target, Labels):
        return {
            "accuracy": float(accuracy_score(y, answered(pipeline, X))),
            "log_loss": float(log_loss(y, probabilities(pipeline, X), labels=sorted(target.names))),
        }
    predicted = pipeline.predict(X)
    return {
        "rmse": float(root_mean_squared_error(y, predicted)),
        "mae": float(mean_absolute_error(y, predicted)),
        "rmse_of_mean": float(root_mean_squared_error(y, np.full(len(y), mean))),
    }


def losses(
    target: Target, pipeline: Pipeline, X: Floats, y: npt.NDArray[Any], mean: float | None = None
) -> Losses:
    """What each row adds to the metrics of `metrics`, which are the means of these, or their roots."""
    if isinstance(target, Labels):
        found = probabilities(pipeline, X)
        true = found[np.arange(len(y)), np.searchsorted(sorted(target.names), y)]
        smallest = np.finfo(found.dtype).eps  # as scikit-learn's log_loss has it
        return {
            "accuracy": (answered(pipeline, X) == y).astype(np.float64),
            "log_loss": -np.log(np.clip(true, smallest, 1)),
        }
    off = pipeline.predict(X) - y
    return {"rmse": off**2, "mae": np.abs(off), "rmse_of_mean": (mean - y) ** 2}


def confusion(target: Labels, pipeline: Pipeline, X: Floats, y: npt.NDArray[Any]) -> dict[str, Any]:
    """How often each label was answered for each: `counts[true][answered]`, in the order of `labels`."""
    counts = confusion_matrix(y, answered(pipeline, X), labels=list(target.names))
    return {"labels": list(target.names), "counts": counts.tolist()}


def answered(pipeline: Pipeline, X: Floats) -> npt.NDArray[np.str_]:
    """Each row's label, (n_rows,): text, though the pipeline may have been fitted on numbers."""
    return np.asarray(pipeline.predict(X)).astype(np.str_)


def probabilities(pipeline: Pipeline, X: Floats) -> Floats:
    """Each label's probability, (n_rows, n_labels), in the order of the labels as sorted text."""
    order = np.argsort([str(label) for label in pipeline.classes_])
    found: Floats = np.asarray(pipeline.predict_proba(X))
    return found[:, order]
