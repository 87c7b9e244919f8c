"""Trials in a worker: the canary's split and its end, the shadow that nobody sees, and who runs them."""

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
from sepal.contracts.ride_duration import contract as ride
from sepal.model_server.comparison import compared
from sepal.model_server.follower import Follower
from sepal.model_server.models import Models
from sepal.model_server.shadow import OF_A_CALL, Shadow
from sepal.model_server.split import Split
from sepal.model_server.trial import Canary, WorkerTrial
from sepal.registry import Draft, Registry, Version, trials
from sepal.registry.lifecycle import promote
from sepal.registry.trials import Plan, Trial
from sepal.scoring.matrix import Matrix
from sepal.scoring.proof import AGREES, random_rows
from sepal.scoring.scorer import LoadedVersion, load_version
from sepal.settings import Settings
from tests.waiting import LONG, comes

ROWS = random_rows(iris, 2000)
HALF = Plan("canary", 0.5, max_errors=0.01, min_rows=20)


def passes(_version: Version) -> None:
    """A check that finds nothing wrong."""


@pytest.fixture
def two(registry: Registry, draft: Draft, pipeline: Pipeline) -> Registry:
    """log_reg_1, the champion, and a forest that was proven to answer alike when compiled."""
    registry.register(draft)
    forest = make_pipeline(RandomForestClassifier(5, random_state=0)).fit(ROWS, pipeline.predict(ROWS))
    registry.register(replace(draft, pipeline=forest, algorithm="rand_forest", details={AGREES: True}))
    return registry


@pytest.fixture
def champion(two: Registry) -> LoadedVersion:
    return load_version(two.version("iris", "log_reg_1"), iris, two.artefacts, compiled=False)


@pytest.fixture
def challenger(two: Registry) -> LoadedVersion:
    return load_version(two.version("iris", "rand_forest_2"), iris, two.artefacts, compiled=False)


def record(registry: Registry, plan: Plan) -> Trial:
    return trials.start(registry, "iris", "rand_forest_2", plan, "so", passes)


def raising(_rows: Matrix) -> Matrix:
    raise RuntimeError("no")


def nonsense(rows: Matrix) -> Matrix:
    return np.full((len(rows), iris.answer_width), np.nan)


def test_a_canary_answers_its_share_and_the_champion_the_rest_as_they_would_alone(
    two: Registry, champion: LoadedVersion, challenger: LoadedVersion
) -> None:
    trial = Canary(record(two, HALF), iris, challenger, champion)
    answers = trial.score(ROWS)
    chosen = Split(trial.record.id, 0.5, 4).chosen(ROWS)
    assert (answers[chosen] == challenger.score(ROWS[chosen])).all()
    assert (answers[~chosen] == champion.score(ROWS[~chosen])).all()
    assert set(answers[chosen, 0]) == {2.0}
    assert set(answers[~chosen, 0]) == {1.0}
    counts = trial.tally.take()
    assert (counts["seen"], counts["rows"]) == (2000, chosen.sum())
    assert counts["compared"] == chosen.sum()


def test_rows_that_are_all_of_one_side_are_one_pass(
    two: Registry, champion: LoadedVersion, challenger: LoadedVersion
) -> None:
    trial = Canary(record(two, HALF), iris, challenger, champion)
    chosen = Split(trial.record.id, 0.5, 4).chosen(ROWS)
    assert set(trial.score(ROWS[chosen])[:, 0]) == {2.0}
    assert set(trial.score(ROWS[~chosen])[:, 0]) == {1.0}
    keys = np.full(2000, 0.5)
    assert len(set(trial.score(ROWS, keys)[:, 0])) == 1


@pytest.mark.parametrize("fails", [raising, nonsense])
def test_rows_that_the_challenger_fails_on_are_answered_by_the_champion_and_it_is_stopped(
    two: Registry,
    champion: LoadedVersion,
    challenger: LoadedVersion,
    fails: Any,  # noqa: ANN401
) -> None:
    stopped: list[WorkerTrial] = []
    trial = Canary(record(two, HALF), iris, replace(challenger, score=fails), champion, stopped.append)
    for at in range(0, 400, 10):
        rows = ROWS[at : at + 10]
        assert (trial.score(rows) == champion.score(rows)).all()
    assert stopped == [trial]
    assert trial.over is not None
    assert "rows got no answer from it, 100.00%" in trial.over
    assert trial.tally.take()["rows"] < 50, "stopped after few rows"


def test_what_other_workers_have_counted_counts_too(
    two: Registry, champion: LoadedVersion, challenger: LoadedVersion
) -> None:
    trial = Canary(record(two, HALF), iris, replace(challenger, score=raising), champion)
    trial.known = {"rows": 19, "passes": 19, "errors": 19, "failed_passes": 19}
    trial.score(ROWS[:10])
    assert trial.over is not None


def test_a_challenger_that_is_too_slow_is_stopped(
    two: Registry, champion: LoadedVersion, challenger: LoadedVersion
) -> None:
    def slowly(rows: Matrix) -> Matrix:
        time.sleep(0.01)
        return challenger.score(rows)

    plan = Plan("canary", 0.5, max_latency=2.0)
    trial = Canary(record(two, plan), iris, replace(challenger, score=slowly), champion)
    deadline = time.monotonic() + 20
    while trial.over is None and time.monotonic() < deadline:
        assert len(trial.score(ROWS[:64])) == 64
        time.sleep(0.005)
    assert trial.over is not None
    assert "times the champion's time" in trial.over


def test_a_champion_that_fails_beside_the_canary_is_counted(
    two: Registry, champion: LoadedVersion, challenger: LoadedVersion
) -> None:
    trial = Canary(record(two, Plan("canary", 1.0)), iris, challenger, replace(champion, score=raising))
    assert set(trial.score(ROWS[:10])[:, 0]) == {2.0}
    assert trial.tally.take()["champion_errors"] == 10


def test_a_shadow_gives_the_champions_answers_and_compares_beside_the_calls(
    two: Registry, champion: LoadedVersion, challenger: LoadedVersion
) -> None:
    trial = Shadow(record(two, Plan("shadow")), iris, challenger, champion)
    for at in range(0, 400, 40):
        assert trial.score(ROWS[at : at + 40]).tobytes() == champion.score(ROWS[at : at + 40]).tobytes()
    assert "rows" not in trial.tally.beside({}), "nothing is done in the call"
    while trial.work():
        pass
    counts = trial.tally.take()
    expected = compared(iris, champion.score(ROWS[:400]), challenger.score(ROWS[:400]))
    assert (counts["seen"], counts["rows"], counts["compared"]) == (400, 400, 400)
    assert {name: counts[name] for name in expected} == pytest.approx(expected)
    assert counts["pairs"] >= 1


def test_a_shadow_drops_what_finds_no_room_and_what_comes_while_calls_wait(
    two: Registry, champion: LoadedVersion, challenger: LoadedVersion
) -> None:
    waits = threading.Event()
    trial = Shadow(record(two, Plan("shadow")), iris, challenger, champion, 100, waits.is_set)
    trial.score(ROWS)
    trial.score(ROWS[:50])
    assert trial.work() > 0
    waits.set()
    assert trial.work() == 0.0
    waits.clear()
    assert trial.work() == 0.0, "what waited was dropped"
    counts = trial.tally.take()
    assert counts["seen"] == 2050
    assert counts["rows"] < OF_A_CALL


def test_a_shadow_that_fails_is_counted_and_goes_on(
    two: Registry, champion: LoadedVersion, challenger: LoadedVersion
) -> None:
    trial = Shadow(record(two, Plan("shadow")), iris, replace(challenger, score=raising), champion)
    trial.score(ROWS[:200])
    while trial.work():
        pass
    trial.judge()
    assert trial.tally.take()["errors"] == 200
    assert trial.over is None


def test_quantities_are_compared_by_their_difference() -> None:
    before, after = np.array([[1, 10.0], [1, 20.0]]), np.array([[2, 10.5], [2, 30.0]])
    found = compared(ride, before, after)
    assert (found["different"], found["shift"], found["shift_sizes"]) == (1, 10.5, 10.5)


@pytest.fixture
def models() -> Models:
    return Models([iris])


@pytest.fixture
def follower(two: Registry, models: Models, settings: Settings) -> Iterator[Follower]:
    quick = settings.model_copy(update={"swap_poll": 0.05, "trial_write": 0.1, "shadow_time": 1.0})
    follower = Follower(models, quick)
    follower.look(two)
    follower.start(lambda _contract: None)
    yield follower
    follower.stop()


def tried(models: Models) -> Any:  # noqa: ANN401
    return models.status()["iris"].get("trial")


@pytest.mark.usefixtures("follower")
def test_a_trial_begins_and_ends_in_a_worker_as_in_the_registry(two: Registry, models: Models) -> None:
    assert models.score("iris", ROWS)[0, 0] == 1
    trial = record(two, HALF)
    assert comes(lambda: tried(models) is not None)
    assert tried(models) == {"version": "rand_forest_2", "mode": "canary", "share": 0.5}
    answers = models.score("iris", ROWS)
    assert set(answers[:, 0]) == {1.0, 2.0}
    assert len(set(models.score_keyed("iris", ROWS, np.full(2000, 0.25))[:, 0])) == 1
    trials.stop(two, "iris", "so")
    assert comes(lambda: tried(models) is None)
    assert set(models.score("iris", ROWS)[:, 0]) == {1.0}
    assert set(models.score_keyed("iris", ROWS, np.full(2000, 0.25))[:, 0]) == {1.0}
    assert comes(lambda: trials.counted(two, trial).get("seen") == 4000)
    assert models.version_names("iris") == {1: "log_reg_1", 2: "rand_forest_2"}


@pytest.mark.usefixtures("follower")
def test_a_shadow_in_a_worker_writes_down_what_it_finds(two: Registry, models: Models) -> None:
    trial = record(two, Plan("shadow"))
    assert comes(lambda: tried(models) == {"version": "rand_forest_2", "mode": "shadow"})
    assert set(models.score("iris", ROWS[:100])[:, 0]) == {1.0}
    assert comes(lambda: trials.counted(two, trial).get("compared") == 100)


@pytest.mark.usefixtures("follower")
def test_the_promotion_of_the_challenger_ends_its_trial(two: Registry, models: Models) -> None:
    record(two, HALF)
    assert comes(lambda: tried(models) is not None)
    promote(two, "iris", "rand_forest_2", "so", passes)
    assert comes(lambda: models.status()["iris"] == {"version": "rand_forest_2"})
    assert set(models.score("iris", ROWS)[:, 0]) == {2.0}


def test_a_challenger_that_can_not_be_loaded_is_told_and_the_champion_answers(
    two: Registry, models: Models, settings: Settings
) -> None:
    follower = Follower(models, settings)
    record(two, HALF)
    two.artefacts.path("iris:rand_forest_2").write_bytes(b"changed since")
    follower.look(two)
    assert comes(lambda: tried(models) is not None)
    assert "rand_forest_2 is not the artefact that was registered" in tried(models)["error"]
    assert set(models.score("iris", ROWS)[:, 0]) == {1.0}
    trials.stop(two, "iris", "so")
    follower.look(two)
    assert comes(lambda: tried(models) is None)
    follower.stop()


def test_a_trial_that_runs_already_is_taken_up_by_a_worker_that_starts(
    two: Registry, models: Models, settings: Settings
) -> None:
    record(two, HALF)
    follower = Follower(models, settings)
    follower.look(two)
    assert comes(lambda: tried(models) is not None)
    follower.stop()


@pytest.fixture
def breaking(
    two: Registry, models: Models, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Follower, threading.Event]]:
    """A canary runs, and what it counts can't be written once, for a reason that nobody foresaw."""
    add, broken = trials.add, threading.Event()

    def once(*arguments: Any) -> Any:  # noqa: ANN401
        if not broken.is_set():
            broken.set()
            raise OSError("no such luck")
        return add(*arguments)

    monkeypatch.setattr(trials, "add", once)
    quick = settings.model_copy(update={"trial_write": 0.1, "shadow_time": 1.0})
    follower = Follower(models, quick, retry=0.05)
    follower.look(two)
    record(two, HALF)
    follower.look(two)
    assert comes(lambda: tried(models) is not None)
    models.score("iris", ROWS)
    yield follower, broken
    follower.stop()


def test_a_trial_that_breaks_off_and_is_stopped_answers_no_more(
    two: Registry, models: Models, breaking: tuple[Follower, threading.Event]
) -> None:
    follower, broken = breaking
    assert broken.wait(LONG)
    trials.stop(two, "iris", "so")
    follower.look(two)
    assert comes(lambda: tried(models) is None)
    assert set(models.score("iris", ROWS)[:, 0]) == {1.0}


def test_a_trial_that_breaks_off_begins_again(
    two: Registry, models: Models, breaking: tuple[Follower, threading.Event]
) -> None:
    follower, broken = breaking
    assert broken.wait(LONG)
    assert comes(lambda: tried(models) is None), "meanwhile the champion answers alone"

    def again() -> bool:
        follower.look(two)
        return tried(models) is not None

    assert comes(again)
    before = trials.counted(two, trials.running(two)["iris"]).get("seen", 0)
    models.score("iris", ROWS)
    assert comes(lambda: trials.counted(two, trials.running(two)["iris"]).get("seen", 0) >= before + 2000)


def test_a_canary_that_stops_itself_writes_why_to_the_trail(
    two: Registry, models: Models, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    del follower
    record(two, HALF)
    assert comes(lambda: tried(models) is not None)
    trial = models._trials["iris"]
    monkeypatch.setattr(trial, "challenger", replace(trial.challenger, score=raising))
    for at in range(0, 200, 5):
        assert set(models.score("iris", ROWS[at : at + 5])[:, 0]) == {1.0}
    assert tried(models) is None, "at once in this process"
    assert comes(lambda: trials.running(two) == {})
    last = two.trail()[-1]
    assert (last.action, last.actor) == ("trial-stop", "model-server")
    assert "stopped by itself" in last.why
    assert "rows got no answer" in last.why


@pytest.mark.usefixtures("follower")
def test_a_canary_that_stopped_itself_stays_stopped_until_it_can_say_so(
    two: Registry, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, failed = trials.stop_by_itself, threading.Event()

    def once(*arguments: Any) -> None:  # noqa: ANN401
        if not failed.is_set():
            failed.set()
            raise OSError("no such luck")
        stop(*arguments)

    monkeypatch.setattr(trials, "stop_by_itself", once)
    record(two, HALF)
    assert comes(lambda: tried(models) is not None)
    trial = models._trials["iris"]
    monkeypatch.setattr(trial, "challenger", replace(trial.challenger, score=raising))
    for at in range(0, 200, 5):
        models.score("iris", ROWS[at : at + 5])
    assert failed.wait(LONG)
    assert tried(models) is None
    assert comes(lambda: trials.running(two) == {})
    assert "stopped by itself" in two.trail()[-1].why
