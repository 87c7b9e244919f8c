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


def confusion(target: Labels, pipeline: Pipeline, X: Floats, y: npt.NDArray[Any]) -> dict[str, Any]:
    """How often each label was answered for each: `counts[true][answered]`, in the order of `labels`."""
    counts = confusion_matrix(y, pipeline.predict(X), labels=list(target.names))
    return {"labels": list(target.names), "counts": counts.tolist()}
