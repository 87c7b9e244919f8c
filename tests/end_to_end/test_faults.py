"""What a person meets when something is wrong: a killed tier, a changed artefact, a port that is taken."""

import asyncio
import collections
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.end_to_end.conftest import IRIS, RIDE, Place, Served, place_in, serving

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("faults")]

DEADLINE = 5.0
"""SEPAL_REQUEST_TIMEOUT's default, in seconds."""


@pytest.fixture
def place(trained: Place, tmp_path: Path) -> Place:
    """A copy of what was trained, to be broken."""
    shutil.copytree(trained.data_dir, tmp_path / "data")
    return Place(
        tmp_path / "data", {**trained.environment, "SEPAL_DATA_DIR": str(tmp_path / "data")}
    ).beside()


@pytest.mark.parametrize("whole", [True, False], ids=["the whole model server", "its arbiter alone"])
def test_a_killed_model_server_costs_503s_only_and_comes_back_by_itself(place: Place, whole: bool) -> None:
    with serving(place, "iris") as served:
        answers = asyncio.run(_under_fire(served, whole=whole))
        assert served.post("/iris/predict", IRIS)["output"] == "Iris-virginica"
    assert {answer.status for answer in answers} == {200, 503}
    assert {answer.body for answer in answers if answer.status == 200} == {
        '{"output":"Iris-virginica","model_name":"log_reg_1"}'
    }
    assert max(answer.seconds for answer in answers) <= DEADLINE + 0.5
    failures = [answer.at for answer in answers if answer.status == 503]
    assert max(failures) - min(failures) < 10


Answer = collections.namedtuple("Answer", "at status body seconds")


async def _under_fire(
    served: Served, *, whole: bool, seconds: float = 14, rate: float = 50
) -> list[Answer]:
    """Steady requests, and a kill -9 after two seconds."""
    answers: list[Answer] = []
    started = time.monotonic()

    async def one(session: aiohttp.ClientSession) -> None:
        at = time.monotonic()
        async with session.post("/iris/predict", json=IRIS) as response:
            body = await response.text()
        answers.append(Answer(at - started, response.status, body, time.monotonic() - at))

    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(served.url, connector=connector) as session,
        asyncio.TaskGroup() as tasks,
    ):
        killed = False
        while (now := time.monotonic() - started) < seconds:
            tasks.create_task(one(session))
            if now > 2 and not killed:
                killed = True
                processes = served.model_server()
                for process in processes if whole else processes[:1]:
                    process.kill()
            await asyncio.sleep(1 / rate)
    return answers


def test_a_changed_artefact_is_refused_by_name_and_the_other_model_serves(place: Place) -> None:
    artefact = place.data_dir / "bentoml" / "models" / "iris" / "log_reg_1" / "model.pkl"
    content = bytearray(artefact.read_bytes())
    content[-10] ^= 1
    artefact.write_bytes(content)
    place.environment["SEPAL_CONNECT_TIMEOUT"] = "5"  # of a status, too: other tests keep the cores busy
    place.environment["SEPAL_READY_CACHE"] = "0"  # or what was so while it started is said for a second
    with serving(
        place, until="Not ready: iris:log_reg_1 is not the artefact that was registered"
    ) as served:
        status, body = served.call("/readyz")
        assert status == 503
        assert "iris:log_reg_1 is not the artefact that was registered" in body["models"]["iris"]["reason"]
        assert served.call("/iris/predict", b"{}")[0] == 422
        assert served.post("/ride_duration/predict", RIDE)["model_name"] == "linear_1"
        assert served.post("/iris/predict", IRIS)["status"] == 503


def test_without_a_champion_the_command_that_makes_one_is_told(tmp_path: Path) -> None:
    run = place_in(tmp_path / "data").sepal("serve", check=False)
    assert run.returncode == 4
    assert run.stderr.strip() == "Error: iris has no champion yet. Make one: sepal train iris"


def test_a_port_that_is_taken_is_one_line_with_the_setting_to_change(trained: Place) -> None:
    place = trained.beside()
    with socket.socket() as taken:
        port = int(place.environment["SEPAL_GATEWAY_PORT"])
        taken.bind(("127.0.0.1", port))
        taken.listen()
        run = place.sepal("serve", check=False)
    assert run.returncode == 3
    assert run.stderr.strip() == (
        f"Error: Port {port} on 127.0.0.1, for the gateway, is taken: set SEPAL_GATEWAY_PORT to another."
    )


def test_a_tier_that_can_not_start_as_it_is_set_ends_both_with_its_words(trained: Place) -> None:
    place = trained.beside()
    place.environment["SEPAL_LIMITS_URL"] = "redis://127.0.0.1:1/0?no_such_option=1"
    run = place.sepal("serve", check=False)
    assert run.returncode == 3
    assert "starting it again" not in run.stderr
    first, *_, last = run.stderr.strip().splitlines()
    assert first.startswith("Error: ")
    assert "SEPAL_LIMITS_URL can't be used" in first
    assert last == "Error: The gateway can't start as it is set; it says why above."


def test_a_disk_that_is_full_for_its_own_words_keeps_no_tier_from_being_started_again(
    trained: Place,
) -> None:
    place = trained.beside()
    url = f"http://127.0.0.1:{place.environment['SEPAL_GATEWAY_PORT']}/readyz"
    command = [str(Path(sys.executable).parent / "sepal"), "serve", "iris"]
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(command, env=place.environment, stdout=full, stderr=full)
    with process:
        _wait_for(url)
        tiers = psutil.Process(process.pid).children()
        (model_server,) = (tier for tier in tiers if "bentoml" in " ".join(tier.cmdline()))
        model_server.kill()
        model_server.wait(10)
        time.sleep(1.5)  # longer than an answer of /readyz is used again
        _wait_for(url)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def _wait_for(url: str) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 (our own gateway)
                assert response.status == 200
                return
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_a_port_for_metrics_that_is_taken_is_told_before_anything_starts(trained: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        place = trained.beside()
        place.environment["SEPAL_METRICS_PORT"] = str(port)
        run = place.sepal("serve", check=False)
    assert run.returncode == 3
    assert run.stderr.strip() == (
        f"Error: Port {port} on 127.0.0.1, for the gateway's metrics, is taken: "
        "set SEPAL_METRICS_PORT to another."
    )


def test_a_wrong_setting_is_one_line_with_its_name(tmp_path: Path) -> None:
    run = place_in(tmp_path / "data", gateway_port="high").sepal("serve", check=False)
    assert run.returncode == 3
    assert run.stderr.startswith("Error: SEPAL_GATEWAY_PORT='high': Input should be a valid integer")


def test_two_contracts_of_one_name_are_refused_at_start_with_both_places(tmp_path: Path) -> None:
    folder = tmp_path / "contracts"
    folder.mkdir()
    shipped = Path(__file__).parents[2] / "src" / "sepal" / "contracts" / "iris.py"
    shutil.copy(shipped, folder / "mine.py")
    run = place_in(tmp_path / "data", contracts_path=folder).sepal("serve", check=False)
    assert run.returncode == 3
    assert str(shipped) in run.stderr
    assert str(folder / "mine.py") in run.stderr


def test_two_recipes_of_one_name_are_refused_at_start_with_both_places(tmp_path: Path) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    shipped = Path(__file__).parents[2] / "model_training" / "recipes" / "iris.py"
    shutil.copy(shipped, folder / "mine.py")
    run = place_in(tmp_path / "data", recipes_path=folder).sepal("train", "iris", check=False)
    assert run.returncode == 3
    assert str(shipped) in run.stderr
    assert str(folder / "mine.py") in run.stderr


def test_a_training_file_with_a_wrong_header_is_told_by_its_columns(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("SepalLengthCm,colour,Species\n5,blue,Iris-setosa\n")
    run = place_in(tmp_path / "data").sepal("train", "iris", "--data", str(wrong), check=False)
    assert run.returncode == 5
    assert "SepalWidthCm, PetalLengthCm, PetalWidthCm" in run.stderr
    assert "Columns found: SepalLengthCm, colour, Species" in run.stderr


def test_the_supervisor_leaves_no_worker_behind_when_the_arbiter_is_killed(place: Place) -> None:
    with serving(place, "iris") as served:
        before = served.model_server()
        before[0].kill()
        _, alive = psutil.wait_procs(before, timeout=10)
        assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
