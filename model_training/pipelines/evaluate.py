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
            "accuracy": float(accuracy_score(y, pipeline.predict(X))),
            "log_loss": float(log_loss(y, pipeline.predict_proba(X), labels=pipeline.classes_)),
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
        probabilities = pipeline.predict_proba(X)
        true = probabilities[np.arange(len(y)), np.searchsorted(pipeline.classes_, y)]
        smallest = np.finfo(probabilities.dtype).eps  # as scikit-learn's log_loss has it
        return {
            "accuracy": (pipeline.predict(X) == y).astype(np.float64),
            "log_loss": -np.log(np.clip(true, smallest, 1)),
        }
    off = pipeline.predict(X) - y
    return {"rmse": off**2, "mae": np.abs(off), "rmse_of_mean": (mean - y) ** 2}


def confusion(target: Labels, pipeline: Pipeline, X: Floats, y: npt.NDArray[Any]) -> dict[str, Any]:
    """How often each label was answered for each: `counts[true][answered]`, in the order of `labels`."""
    counts = confusion_matrix(y, pipeline.predict(X), labels=list(target.names))
    return {"labels": list(target.names), "counts": counts.tolist()}
