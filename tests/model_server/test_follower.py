"""The follower: each new champion is taken up while the worker serves, and a broken one is not."""

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline, make_pipeline

from sepal.contracts.iris import contract as iris
from sepal.model_server.follower import Follower
from sepal.model_server.models import ModelNotReadyError, Models
from sepal.registry import Draft, Registry, Version
from sepal.registry.lifecycle import promote
from sepal.scoring import proof
from sepal.scoring.proof import AGREES
from sepal.settings import Settings
from tests.waiting import LONG, comes

ROWS = np.random.default_rng(4).uniform(0.1, 9, (50, 4))

BETWEEN_BATCHES = 0.0005
"""Seconds in which a worker waits for its next batch; a thread that never waits keeps all others out."""


def passes(_version: Version) -> None:
    """A check that finds nothing wrong."""


@pytest.fixture
def models() -> Models:
    return Models([iris])


@pytest.fixture
def follower(models: Models, settings: Settings) -> Iterator[Follower]:
    follower = Follower(models, settings.model_copy(update={"swap_poll": 0.05}))
    yield follower
    follower.stop()


@pytest.fixture
def proven(draft: Draft, pipeline: Pipeline) -> Draft:
    """A forest, whose compiled evaluator agreed on the rows of its training."""
    labels = pipeline.predict(ROWS)
    forest = make_pipeline(RandomForestClassifier(20, random_state=0)).fit(ROWS, labels)
    return replace(draft, pipeline=forest, algorithm="rand_forest", details={AGREES: True})


def answering(models: Models) -> int:
    return int(models.score("iris", ROWS)[0, 0])


def test_a_new_champion_answers_soon_after_its_promotion(
    registry: Registry, models: Models, follower: Follower, draft: Draft, proven: Draft
) -> None:
    registry.register(draft), registry.register(proven)
    follower.look(registry)
    follower.start(lambda _contract: None)
    assert answering(models) == 1
    promote(registry, "iris", "rand_forest_2", "so", passes)
    assert comes(lambda: answering(models) == 2)
    assert models.status() == {"iris": {"version": "rand_forest_2"}}
    assert models.version_names("iris") == {1: "log_reg_1", 2: "rand_forest_2"}
    assert models.swaps == {"iris": 1}
    expected = proven.pipeline.predict_proba(ROWS)
    assert np.allclose(models.score("iris", ROWS)[:, 2:], expected, rtol=0, atol=1e-12)


def test_no_batch_is_answered_by_two_versions(
    registry: Registry, models: Models, follower: Follower, draft: Draft, proven: Draft
) -> None:
    registry.register(draft), registry.register(proven)
    follower.look(registry)
    follower.start(lambda _contract: None)
    seen: list[set[float]] = []
    stop = threading.Event()

    def score() -> None:
        while not stop.is_set() and (len(seen) == 0 or seen[-1] != {2.0}):
            seen.append(set(models.score("iris", ROWS)[:, 0].tolist()))
            time.sleep(BETWEEN_BATCHES)

    scoring = threading.Thread(target=score)
    scoring.start()
    try:
        promote(registry, "iris", "rand_forest_2", "so", passes)
        scoring.join(LONG)
    finally:
        stop.set()
        scoring.join()
    assert {len(versions) for versions in seen} == {1}
    assert {1.0, 2.0} == set.union(*seen)


def test_a_broken_champion_is_told_once_and_the_old_one_goes_on(
    registry: Registry,
    models: Models,
    draft: Draft,
    caplog: pytest.LogCaptureFixture,
    settings: Settings,
) -> None:
    follower = Follower(models, settings, retry=0.0)
    registry.register(draft), registry.register(draft)
    follower.look(registry)
    promote(registry, "iris", "log_reg_2", "so", passes)
    path = registry.artefacts.path("iris:log_reg_2")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")
    caplog.clear()
    with caplog.at_level(logging.ERROR, "sepal.model_server"):
        for _ in range(3):
            follower.look(registry)
    assert answering(models) == 1
    refused = models.status()["iris"]["refused"]
    assert refused["version"] == "log_reg_2"
    assert "iris:log_reg_2 is not the artefact that was registered" in refused["reason"]
    assert len(caplog.records) == 1
    assert "log_reg_1 goes on answering" in caplog.text
    path.write_bytes(whole)
    follower.look(registry)
    assert answering(models) == 2, "restored, and taken up"
    assert models.status() == {"iris": {"version": "log_reg_2"}}


def test_a_broken_champion_is_not_tried_again_at_once(
    registry: Registry, models: Models, follower: Follower, draft: Draft
) -> None:
    registry.register(draft), registry.register(draft)
    follower.look(registry)
    promote(registry, "iris", "log_reg_2", "so", passes)
    path = registry.artefacts.path("iris:log_reg_2")
    whole = path.read_bytes()
    path.write_bytes(b"")
    follower.look(registry)
    path.write_bytes(whole)
    follower.look(registry)
    assert answering(models) == 1


def test_a_rollback_ends_the_refusal(
    registry: Registry, models: Models, follower: Follower, draft: Draft
) -> None:
    registry.register(draft), registry.register(draft)
    follower.look(registry)
    promote(registry, "iris", "log_reg_2", "so", passes)
    registry.artefacts.path("iris:log_reg_2").write_bytes(b"")
    follower.look(registry)
    promote(registry, "iris", "log_reg_1", "so", passes)
    follower.look(registry)
    assert models.status() == {"iris": {"version": "log_reg_1"}}


def test_a_model_without_a_champion_answers_once_there_is_one(
    registry: Registry, models: Models, follower: Follower, draft: Draft
) -> None:
    first: list[str] = []
    follower.look(registry)
    with pytest.raises(ModelNotReadyError, match="sepal train iris"):
        models.score("iris", ROWS)
    follower.start(lambda contract: first.append(contract.name))
    registry.register(draft)
    assert comes(lambda: first == ["iris"])
    assert answering(models) == 1


def test_a_database_that_can_not_be_read_costs_nothing_but_a_note(
    registry: Registry, models: Models, follower: Follower, draft: Draft, settings: Settings
) -> None:
    registry.register(draft)
    follower.look(registry)
    database = settings.data_dir / "database.sqlite"
    whole = database.read_bytes()
    database.write_bytes(b"no database at all, but long enough to look at")
    with Registry.open(settings) as other:
        follower.look(other)
    assert answering(models) == 1
    assert "can't be used" in models.status()["iris"]["refused"]["reason"]
    database.write_bytes(whole)
    with Registry.open(settings) as other:
        follower.look(other)
    assert models.status() == {"iris": {"version": "log_reg_1"}}


def test_a_proof_that_takes_long_does_not_hold_the_swap_up(
    registry: Registry,
    models: Models,
    settings: Settings,
    draft: Draft,
    proven: Draft,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proven_at_last, prove = threading.Event(), proof.compiled_agrees

    def held(*arguments: Any) -> bool:  # noqa: ANN401
        return proven_at_last.wait(LONG) and prove(*arguments)

    monkeypatch.setattr(proof, "compiled_agrees", held)
    follower = Follower(models, settings.model_copy(update={"swap_poll": 0.05}), proof_wait=0.0)
    registry.register(draft), registry.register(proven)
    follower.look(registry)
    follower.start(lambda _contract: None)
    promote(registry, "iris", "rand_forest_2", "so", passes)
    assert comes(lambda: answering(models) == 2)
    plain = models.loaded("iris")
    proven_at_last.set()
    assert comes(lambda: models.loaded("iris") is not plain), "the compiled evaluator, once it is proven"
    assert answering(models) == 2
    follower.stop()
