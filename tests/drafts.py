"""Drafts of versions that are small enough to be quick."""

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sepal.contracts import Labels
from sepal.contracts.iris import contract
from sepal.registry import Draft


def small_pipeline() -> Pipeline:
    """A classifier of irises, fitted on noise."""
    assert isinstance(contract.target, Labels)
    rows = np.random.default_rng(1).uniform(0.1, 9, (60, 4))
    labels = np.array(contract.target.names)[np.arange(60) % 3]
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)


def draft_of(pipeline: object, **changes: Any) -> Draft:  # noqa: ANN401
    """A draft of an iris version, but for the changes."""
    values: dict[str, Any] = {
        "model": "iris",
        "algorithm": "log_reg",
        "pipeline": pipeline,
        "contract_signature": contract.signature,
        "metrics": {"train": {"accuracy": 0.97}, "test": {"accuracy": 0.95, "log_loss": 0.1}},
        "details": {"confusion_matrix": [[1, 0], [0, 1]]},
        "data_source": "Iris.csv",
        "data_fingerprint": "0" * 64,
        "train_rows": 112,
        "test_rows": 38,
    }
    return Draft(**{**values, **changes})
