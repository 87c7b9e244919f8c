"""A model that takes its time: each row costs what it is told to cost, and no CPU."""

import time
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sepal.contracts import Labels
from sepal.contracts.iris import contract
from sepal.registry import Registry
from tests.drafts import draft_of
from tests.tiers import Place


class Slow(TransformerMixin, BaseEstimator):
    """Passes rows on, so many seconds later for each of them."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ANN401, N803
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> Any:  # noqa: ANN401, N803
        time.sleep(self.seconds * len(X))
        return X


def register(place: Place, seconds: float) -> None:
    """Make it the only version of iris in a place."""
    assert isinstance(contract.target, Labels)
    rows = np.random.default_rng(1).uniform(0.1, 9, (60, 4))
    labels = np.array(contract.target.names)[np.arange(60) % 3]
    pipeline = make_pipeline(Slow(), StandardScaler(), LogisticRegression()).fit(rows, labels)
    pipeline.set_params(slow__seconds=seconds)
    with Registry.open(place.settings) as registry:
        registry.register(draft_of(pipeline))
