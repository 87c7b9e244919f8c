"""Trials as a team meets them: both tiers running, and a challenger that is sound, or fails on rows."""

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import Binarizer, OneHotEncoder

from sepal.contracts import Labels
from sepal.contracts.iris import contract as iris
from sepal.registry import Registry, trials
from sepal.registry.verify import verify
from sepal.scoring.matrix import Matrix
from sepal.scoring.proof import random_rows
from sepal.scoring.scorer import load_version
from tests.drafts import draft_of
from tests.end_to_end.conftest import IRIS, Place, Served, place_in, serving

pytestmark = pytest.mark.end_to_end

TAKEN_UP_WITHIN = 2.0
"""Seconds from the command to a trial in every worker."""

FEATURES = [column.name for column in iris.columns]


def picky() -> Pipeline:
    """Fitted on sepals up to 6 cm, and raises for the call that has a longer one."""
    assert isinstance(iris.target, Labels)
    rows = np.random.default_rng(1).uniform(0.1, 9, (300, 4))
    rows[:, 0] = np.minimum(rows[:, 0], 6)
    is_long = make_pipeline(
        Binarizer(threshold=6.0), make_column_transformer((OneHotEncoder(handle_unknown="error"), [0]))
    )
    labels = np.array(iris.target.names)[np.arange(300) % 3]
    return make_pipeline(make_union("passthrough", is_long), LogisticRegression(max_iter=1000)).fit(
        rows, labels
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two workers with three versions of iris: log_reg_1, the champion, rand_forest_2 and picky_3."""
    place = place_in(tmp_path_factory.mktemp("three") / "data", model_server_workers=2)
    place.sepal("train", "iris")
    place.sepal("train", "iris", "--algorithm", "rand_forest")
    with Registry.open(place.settings) as registry:
        assert registry.register(draft_of(picky(), algorithm="picky")).name == "picky_3"
    with serving(place, "iris") as served:
        yield served


@contextmanager
def on_trial(place: Place, *command: str) -> Iterator[None]:
    """From a trial that every worker has taken up to its end, if it has not ended by itself."""
    place.sepal("models", "trial", "iris", *command)
    time.sleep(TAKEN_UP_WITHIN)
    try:
        yield
    finally:
        place.sepal("models", "trial", "iris", "--stop", "--why", "seen enough", check=False)
        time.sleep(1)


def post(served: Served, rows: Any, key: str | None = None) -> bytes:  # noqa: ANN401
    """The body of an answer with probabilities, which must be 200."""
    headers = {"Content-Type": "application/json", **({} if key is None else {"X-Trial-Key": key})}
    request = urllib.request.Request(  # noqa: S310
        served.url + "/iris/predict-proba", json.dumps(rows).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return bytes(response.read())


def as_json(rows: Matrix) -> list[dict[str, float]]:
    return [dict(zip(FEATURES, row, strict=True)) for row in rows.tolist()]


def versions(served: Served, rows: Matrix, key: str | None = None) -> list[str]:
    return [answer["model_name"] for answer in json.loads(post(served, as_json(rows), key))]


def versions_or_503(served: Served, rows: Matrix) -> list[str] | None:
    """None if there is no worker to answer."""
    try:
        return versions(served, rows)
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise
        return None


def wrong(place: Place, rows: Matrix, answers: Sequence[Any]) -> int:
    """How many answers are not what the version that they name gives in this process."""
    faults = 0
    with Registry.open(place.settings) as registry:
        for name in {answer["model_name"] for answer in answers}:
            own = [at for at, answer in enumerate(answers) if answer["model_name"] == name]
            version = registry.version("iris", name)
            expected = load_version(version, iris, registry.artefacts, compiled=False).score(rows[own])
            given = [list(answers[at]["probabilities"].values()) for at in own]
            faults += int((~np.isclose(given, expected[:, 2:], rtol=0, atol=1e-12)).any(axis=1).sum())
    return faults


def status(place: Place) -> Any:  # noqa: ANN401
    [trial] = json.loads(place.sepal("models", "trial", "status", "iris", "--json").stdout)
    return trial


def test_with_a_shadow_every_answer_has_the_same_bytes_and_the_rows_are_compared(served: Served) -> None:
    rows = random_rows(iris, 400)
    requests: list[Any] = [as_json(rows[:300]), *as_json(rows[300:])]
    without = [post(served, one) for one in requests]
    with on_trial(served.place, "rand_forest_2", "--shadow"):
        assert [post(served, one) for one in requests] == without
        for _ in range(20):
            post(served, as_json(rows[:20]))
            time.sleep(0.1)
        time.sleep(1.5)
        trial = status(served.place)
        assert "rand_forest_2 as shadow" in served.place.sepal("models", "trial", "status").stdout
    found = trial["found"]
    assert found["rows_seen"] >= 800
    assert 0 < found["rows_compared"] == found["rows"] <= found["rows_seen"]
    assert found["disagreement"]["low"] < found["disagreement"]["value"] < found["disagreement"]["high"]
    assert found["errors"]["value"] == 0


def test_a_canary_answers_five_percent_of_100_000_rows_and_the_same_ones_again(served: Served) -> None:
    rows = random_rows(iris, 100_000, seed=5)
    parts = [rows[at : at + 10_000] for at in range(0, len(rows), 10_000)]
    with on_trial(served.place, "rand_forest_2", "--canary", "5%"):
        answers = [answer for part in parts for answer in json.loads(post(served, as_json(part)))]
        again = [name for part in parts[:2] for name in versions(served, part[:5000])]
        time.sleep(1.5)
        trial = status(served.place)
    names = [answer["model_name"] for answer in answers]
    assert 0.045 <= Counter(names)["rand_forest_2"] / len(names) <= 0.055
    assert set(names) == {"log_reg_1", "rand_forest_2"}
    assert again == [*names[:5000], *names[10_000:15_000]]
    assert wrong(served.place, rows, answers) == 0
    assert trial["found"]["rows"] == Counter([*names, *again])["rand_forest_2"], "none is lost or twice"


def test_a_key_meets_one_version_whatever_its_rows(served: Served) -> None:
    rows = random_rows(iris, 400)
    with on_trial(served.place, "rand_forest_2", "--canary", "50%"):
        seen = []
        for number in range(60):
            part = rows[number : number + 3]
            names = {name for at in range(3) for name in versions(served, part[at : at + 1], f"u{number}")}
            names |= set(versions(served, rows[300:], f"u{number}"))
            assert len(names) == 1
            seen += names
        assert 10 < Counter(seen)["rand_forest_2"] < 50
        assert len(set(versions(served, rows))) == 2, "without a key each row goes its own way"


@pytest.mark.parametrize("first", [0.1, 6.1], ids=["raises on some rows", "raises on every row"])
def test_a_canary_that_raises_stops_itself_and_users_see_nothing_of_it(
    served: Served, first: float
) -> None:
    rows = random_rows(iris, 400)
    rows[:, 0] = np.random.default_rng(2).uniform(first, 9, 400)
    with on_trial(served.place, "picky_3", "--canary", "50%", "--max-errors", "1%", "--why", "try it"):
        started = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            answers = [json.loads(body) for body in pool.map(lambda row: post(served, row), as_json(rows))]
        with Registry.open(served.place.settings) as registry:
            while trials.running(registry):
                assert time.monotonic() - started < 10
                time.sleep(0.05)
            last = registry.trail("iris")[-1]
            assert verify(registry).faults == []
        [ended] = [status(served.place)]
        time.sleep(1)
        assert set(versions(served, rows[:100])) == {"log_reg_1"}
    assert wrong(served.place, rows, answers) == 0
    assert {a["model_name"] for a, row in zip(answers, rows, strict=True) if row[0] > 6} == {"log_reg_1"}
    assert (last.action, last.version, last.actor) == ("trial-stop", "picky_3", "model-server")
    assert "stopped by itself" in last.why
    assert "rows got no answer from it" in last.why
    assert ended["ended_why"] == last.why
    assert ended["found"]["rows"] < 200, "stopped after few rows"


def test_a_trial_survives_the_death_of_a_worker(served: Served) -> None:
    rows = random_rows(iris, 1000)
    with on_trial(served.place, "rand_forest_2", "--canary", "50%"):
        before = versions(served, rows)
        time.sleep(1.5)
        for worker in served.model_server()[1:]:
            worker.kill()
        ends = time.monotonic() + 60
        while (after := versions_or_503(served, rows)) != before:
            assert time.monotonic() < ends
            time.sleep(0.2)
        time.sleep(1.5)
        found = status(served.place)["found"]
    assert len(set(after or ())) == 2
    assert found["rows"] >= 2 * Counter(before)["rand_forest_2"], "what was counted before is still there"


def test_promoting_the_challenger_ends_its_trial(served: Served) -> None:
    place = served.place
    with on_trial(place, "rand_forest_2", "--canary", "50%"):
        place.sepal("models", "promote", "iris", "rand_forest_2", "--why", "it does well")
        time.sleep(TAKEN_UP_WITHIN)
        assert set(versions(served, random_rows(iris, 100))) == {"rand_forest_2"}
        run = place.sepal("models", "trial", "stop", "iris", check=False)
        assert run.returncode == 15
    history = place.sepal("models", "history", "iris").stdout
    assert "rand_forest_2 is the champion now" in history
    assert served.post("/iris/predict", IRIS)["model_name"] == "rand_forest_2"
