"""The life of a version as a team lives it: gate, promotion, hot swap, rollback, and what goes wrong."""

import asyncio
import itertools
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from loadtest import swaps
from sepal.registry import Registry, lifecycle
from sepal.registry.verify import verify
from tests.end_to_end.conftest import IRIS, Place, Served, place_in, serving

pytestmark = pytest.mark.end_to_end

SWAPPED_WITHIN = 2.0
"""Seconds from a promotion to answers by the new champion, as it is promised."""

SECONDS, EVERY, RATE = 7.0, 2.5, 200.0
"""Under load in short; `python -m loadtest.swaps` does it for a minute."""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Three versions of iris: log_reg_1, the champion, rand_forest_2, and log_reg_3 of another seed."""
    place = place_in(tmp_path_factory.mktemp("two") / "data")
    place.sepal("train", "iris")
    place.sepal("train", "iris", "--algorithm", "rand_forest")
    place.sepal("train", "iris", "--seed", "1")
    return place


@pytest.fixture
def place(two: Place, tmp_path: Path) -> Place:
    """A copy of them, to be changed."""
    shutil.copytree(two.data_dir, tmp_path / "data")
    copy = Place(tmp_path / "data", {**two.environment, "SEPAL_DATA_DIR": str(tmp_path / "data")})
    return copy.beside()


def corrupt(place: Place, version: str) -> Callable[[], None]:
    """Change one byte of an artefact; gives what makes it whole again."""
    artefact = place.data_dir / "bentoml" / "models" / "iris" / version / "model.pkl"
    whole = artefact.read_bytes()
    artefact.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    return lambda: bool(artefact.write_bytes(whole)) and None


def champion(place: Place) -> str:
    with Registry.open(place.settings) as registry:
        return registry.champion("iris").name


def answers_by(served: Served) -> Any:  # noqa: ANN401
    return served.post("/iris/predict", IRIS)["model_name"]


def wait_for(served: Served, version: str, within: float = SWAPPED_WITHIN) -> None:
    started = time.monotonic()
    while answers_by(served) != version:
        assert time.monotonic() - started < within
        time.sleep(0.02)


def test_a_version_trained_on_shuffled_labels_is_rejected_and_the_champion_stays(place: Place) -> None:
    header, *rows = (place.data_dir / "Iris.csv").read_text().splitlines()
    labels = [row.rpartition(",")[2] for row in rows]
    random.Random(0).shuffle(labels)  # noqa: S311
    shuffled = [f"{row.rpartition(',')[0]},{label}" for row, label in zip(rows, labels, strict=True)]
    data = place.data_dir / "shuffled.csv"
    data.write_text("\n".join([header, *shuffled]))
    run = place.sepal("train", "iris", "--data", str(data), "--promote", check=False)
    assert run.returncode == 8
    assert run.stderr.startswith(
        "Error: iris:log_reg_4 is registered, and rejected by its gate: accuracy is 0."
    )
    assert "The champion stays log_reg_1." in run.stderr
    assert champion(place) == "log_reg_1"
    with Registry.open(place.settings) as registry:
        assert registry.version("iris", "log_reg_4").state == "rejected"
    run = place.sepal("models", "promote", "iris", "log_reg_4", "--why", "so", check=False)
    assert run.returncode == 8
    assert "was rejected by its gate: accuracy is 0." in run.stderr


def test_a_version_that_passes_is_promoted_if_asked_for_and_one_in_doubt_is_not(place: Place) -> None:
    assert "The champion stays log_reg_1." in place.sepal("train", "iris").stdout
    assert champion(place) == "log_reg_1"
    place.sepal("train", "iris", "--promote")
    assert champion(place) == "log_reg_5"
    run = place.sepal("train", "iris", "--algorithm", "rand_forest", "--promote", check=False)
    assert run.returncode == 8
    assert "its gate can't tell" in run.stderr
    assert "sepal models promote iris rand_forest_6 --why REASON" in run.stderr
    assert champion(place) == "log_reg_5"


def test_the_commands_tell_what_they_did_and_the_trail_keeps_it(place: Place) -> None:
    run = place.sepal("models", "promote", "iris", "rand_forest_2", check=False)
    assert run.returncode == 2
    assert "--why" in run.stderr
    said = place.sepal("models", "promote", "iris", "rand_forest_2", "--why", "knows more").stdout
    assert said == "rand_forest_2 is the champion of iris now; before it was log_reg_1.\n"
    said = place.sepal("models", "rollback", "iris", "--why", "knows too much").stdout
    assert said == "log_reg_1 is the champion of iris now; before it was rand_forest_2.\n"
    history = place.sepal("models", "history", "iris").stdout
    assert "knows more" in history
    assert "knows too much" in history
    assert "accuracy" in place.sepal("models", "compare", "iris", "rand_forest_2").stdout
    assert "are as they were written" in place.sepal("models", "verify").stdout
    with closing(sqlite3.connect(place.data_dir / "database.sqlite")) as connection, connection:
        connection.execute("DROP TRIGGER audit_no_update")
        connection.execute("UPDATE audit SET why = 'knows enough' WHERE why = 'knows more'")
    run = place.sepal("models", "verify", check=False)
    assert run.returncode == 13
    assert "(promote iris rand_forest_2) is not as it was written" in run.stdout


def test_a_challenger_corrupted_before_its_promotion_is_refused_by_name(place: Place) -> None:
    corrupt(place, "rand_forest_2")
    run = place.sepal("models", "promote", "iris", "rand_forest_2", "--why", "so", check=False)
    assert run.returncode == 6
    assert run.stderr.startswith("Error: iris:rand_forest_2 is not the artefact that was registered")
    assert champion(place) == "log_reg_1"


def test_a_champion_corrupted_between_promotion_and_swap_leaves_the_old_one_answering(place: Place) -> None:
    with serving(place, "iris") as served:
        workers = served.model_server()[1:]
        for worker in workers:
            worker.suspend()  # so that nobody swaps between the promotion and the fault
        place.sepal("models", "promote", "iris", "rand_forest_2", "--why", "so")
        mend = corrupt(place, "rand_forest_2")
        for worker in workers:
            worker.resume()
        ends = time.monotonic() + 20
        while "refused" not in (body := served.call("/readyz")[1])["models"]["iris"]:
            assert answers_by(served) == "log_reg_1"
            assert time.monotonic() < ends
        said = body["models"]["iris"]
        assert (body["status"], said["ready"], said["version"]) == ("ready", True, "log_reg_1")
        assert said["refused"]["version"] == "rand_forest_2"
        assert "iris:rand_forest_2 is not the artefact that was registered" in said["refused"]["reason"]
        assert answers_by(served) == "log_reg_1"
        mend()
        wait_for(served, "rand_forest_2", within=20)


def test_every_worker_swaps_within_two_seconds_and_a_rollback_is_as_quick(place: Place) -> None:
    place.environment["SEPAL_MODEL_SERVER_WORKERS"] = "2"
    with serving(place, "iris") as served:
        for command, version in (
            (("promote", "iris", "rand_forest_2"), "rand_forest_2"),
            (("rollback", "iris"), "log_reg_1"),
        ):
            place.sepal("models", *command, "--why", "so")
            time.sleep(SWAPPED_WITHIN)
            assert {answers_by(served) for _ in range(100)} == {version}


def test_a_broken_champion_at_the_start_is_replaced_while_it_serves(place: Place) -> None:
    corrupt(place, "log_reg_1")
    with serving(place, "iris", until="Not ready: iris:log_reg_1 is not the artefact") as served:
        assert served.post("/iris/predict", IRIS)["status"] == 503
        place.sepal("models", "promote", "iris", "log_reg_3", "--why", "the champion is broken")
        started = time.monotonic()
        while served.post("/iris/predict", IRIS).get("model_name") != "log_reg_3":
            assert time.monotonic() - started < SWAPPED_WITHIN + 1  # and the gateway's breaker
        assert served.call("/readyz")[0] == 200


def test_no_request_fails_and_no_answer_is_wrong_while_champions_come_and_go(place: Place) -> None:
    moves = itertools.cycle(["rand_forest_2", None, "log_reg_3", None])

    def move() -> str:
        with Registry.open(place.settings) as registry:
            if (version := next(moves)) is not None:
                return lifecycle.promote(registry, "iris", version, "so", check=bool).after
            return lifecycle.roll_back(registry, "iris", "so", check=bool).after

    with serving(place, "iris") as served:
        run = asyncio.run(swaps.drive(served.url, move, rate=RATE, seconds=SECONDS, every=EVERY))
    assert len(run.answers) >= 0.95 * RATE * SECONDS
    assert run.failed() == []
    assert swaps.wrong(run, place.settings) == []
    assert {answer.body["model_name"] for answer in run.answers} >= {"log_reg_1", "rand_forest_2"}
    assert swaps.slowest_swap(run, place.settings) < SWAPPED_WITHIN
    assert run.longest_gap() < 2


KILLER = """
import json, os, random, signal, sys, time
import sepal.cli.models, sepal.registry.lifecycle, sepal.scoring.scorer
from sepal.cli import main

def started(command):
    if (pid := os.fork()) == 0:
        sys.argv = ["sepal", "models", *command]
        main()
    return pid

commands, moments = json.loads(sys.argv[1]), random.Random(0)
began = time.monotonic()
os.waitpid(started(commands[0]), 0)
whole = time.monotonic() - began
for number in range(20):
    pid = started(commands[number % len(commands)])
    time.sleep(moments.uniform(0, whole))
    os.kill(pid, signal.SIGKILL)
    print(os.waitpid(pid, 0)[1])
"""
"""Runs commands of `sepal models` twenty times, and kills each with -9 at a random moment of its work."""


def kill_at_random(place: Place, *commands: Sequence[str]) -> None:
    script = [sys.executable, "-c", KILLER, json.dumps(commands)]
    run = subprocess.run(
        script, env=place.environment, capture_output=True, text=True, check=True, timeout=120
    )
    endings = [line for line in run.stdout.splitlines() if line.isdigit()]
    assert len(endings) == 20
    assert endings.count(str(signal.SIGKILL.value)) >= 3, "some must not have come to their end"


def test_a_promotion_killed_at_any_moment_leaves_the_old_or_the_new_champion(place: Place) -> None:
    kill_at_random(
        place,
        ["promote", "iris", "rand_forest_2", "--why", "so"],
        ["promote", "iris", "log_reg_3", "--why", "so"],
        ["rollback", "iris", "--why", "so"],
    )
    assert champion(place) in ("log_reg_1", "rand_forest_2", "log_reg_3")
    with Registry.open(place.settings) as registry:
        found = verify(registry)
        assert found.faults == []
        moves = [entry for entry in registry.trail("iris") if entry.alias == "champion"]
        assert moves[-1].version == champion(place)
    place.sepal("models", "promote", "iris", "log_reg_1", "--why", "still works")


def test_a_pruning_killed_at_any_moment_removes_record_and_artefact_together(place: Place) -> None:
    with Registry.open(place.settings) as registry:
        model = registry.artefacts.load(registry.champion("iris"))
        from tests.drafts import draft_of

        for _ in range(120):
            registry.register(draft_of(model))
    kill_at_random(place, *(["prune", "iris", "--keep", str(keep)] for keep in range(115, 0, -5)))
    place.sepal("models", "prune", "iris", "--keep", "3")
    with Registry.open(place.settings) as registry:
        assert verify(registry).faults == []
        recorded = sorted(version.name for version in registry.versions("iris"))
    folders = place.data_dir / "bentoml" / "models" / "iris"
    assert sorted(path.name for path in folders.iterdir()) == recorded
    assert recorded == ["log_reg_1", "log_reg_121", "log_reg_122", "log_reg_123"]
