"""A registry on a real SQLite file and a real model store, and versions small enough to be quick."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sepal.contracts.iris import contract
from sepal.registry import Draft, Registry
from sepal.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    with Registry.open(settings) as registry:
        yield registry


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    rows = np.random.default_rng(1).uniform(0.1, 9, (60, 4))
    labels = np.array(contract.target.names)[np.arange(60) % 3]  # type: ignore[union-attr]
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)


@pytest.fixture
def draft(pipeline: Pipeline) -> Draft:
    return draft_of(pipeline)


def draft_of(pipeline: object, **changes: object) -> Draft:
    values: dict[str, object] = {
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
    return Draft(**{**values, **changes})  # type: ignore[arg-type]
