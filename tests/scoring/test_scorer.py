"""Scoring: the same numbers as scikit-learn's, laid out as the wire format says, or a clear refusal."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from sepal.contracts.iris import contract as iris
from sepal.contracts.ride_duration import contract as ride
from sepal.errors import ArtefactError
from sepal.registry import Registry, Version
from sepal.scoring.scorer import load_version, scorer
from tests.drafts import draft_of

ROWS = np.random.default_rng(3).uniform(0.1, 9, (500, 4))


def test_labels_and_probabilities_are_scikit_learns_to_the_last_bit(
    pipeline: Pipeline, version: Version
) -> None:
    answers = scorer(version, iris, pipeline)(ROWS)
    assert answers.shape == (500, iris.answer_width)
    assert (answers[:, 0] == version.number).all()
    assert [iris.target.names[int(code)] for code in answers[:, 1]] == list(pipeline.predict(ROWS))
    assert (answers[:, 2:] == pipeline.predict_proba(ROWS)).all()


def test_probabilities_stand_in_contract_order_whatever_order_the_classes_have(version: Version) -> None:
    backwards = replace(iris, target=replace(iris.target, names=tuple(reversed(iris.target.names))))
    labels = np.array(iris.target.names)[np.arange(500) % 3]
    model = LogisticRegression().fit(ROWS, labels)
    answers = scorer(version, backwards, model)(ROWS)
    assert (answers[:, 2:] == model.predict_proba(ROWS)[:, ::-1]).all()
    assert [backwards.target.names[int(code)] for code in answers[:, 1]] == list(model.predict(ROWS))


def test_a_quantity_is_what_the_regression_says(version: Version) -> None:
    model = LinearRegression().fit(ROWS, ROWS[:, 0])
    assert (scorer(version, ride, model)(ROWS)[:, 1] == model.predict(ROWS)).all()


def test_a_version_of_other_labels_is_refused(version: Version) -> None:
    model = LogisticRegression().fit(ROWS, np.array(["rose", "tulip"])[np.arange(500) % 2])
    with pytest.raises(ArtefactError, match="gives rose, tulip; its contract asks for Iris-setosa"):
        scorer(version, iris, model)


def test_a_version_without_probabilities_is_refused(version: Version) -> None:
    model = LinearSVC().fit(ROWS, np.array(iris.target.names)[np.arange(500) % 3])
    with pytest.raises(ArtefactError, match="each with a probability"):
        scorer(version, iris, model)


def test_a_version_of_another_contract_is_refused(registry: Registry, pipeline: Pipeline) -> None:
    version = registry.register(draft_of(pipeline, contract_signature="another"))
    with pytest.raises(ArtefactError, match=r"iris:log_reg_1 was trained for another contract"):
        load_version(version, iris, registry.artefacts)


def test_a_version_that_fails_on_the_example_is_refused(registry: Registry) -> None:
    narrow = LinearRegression().fit(ROWS[:, :2], ROWS[:, 0])
    version = registry.register(draft_of(narrow, model="ride_duration", contract_signature=ride.signature))
    with pytest.raises(ArtefactError, match="ride_duration:log_reg_1 fails on its contract's example"):
        load_version(version, ride, registry.artefacts)


def test_a_version_that_answers_the_example_with_no_number_is_refused(registry: Registry) -> None:
    endless = DummyRegressor(strategy="constant", constant=0.0).fit(ROWS, ROWS[:, 0])
    endless.constant_[:] = np.inf
    version = registry.register(draft_of(endless, model="ride_duration", contract_signature=ride.signature))
    with pytest.raises(ArtefactError, match="answers its contract's example with"):
        load_version(version, ride, registry.artefacts)
