"""What a person meets when something is wrong: a killed tier, a changed artefact, a port that is taken."""

import asyncio
import collections
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.end_to_end.conftest import IRIS, RIDE, Place, Served, place_in, serving
from tests.tiers import lives, none_left
from tests.waiting import LONG, comes

pytestmark = pytest.mark.end_to_end

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
        before = served.model_server()
        answers, back = asyncio.run(_under_fire(served, before, before if whole else before[:1]))
        assert comes(lambda: not any(lives(process) for process in before)), "a worker is left behind"
        assert served.post("/iris/predict", IRIS)["output"] == "Iris-virginica"
    assert {answer.status for answer in answers} == {200, 503}
    assert {answer.body for answer in answers if answer.status == 200} == {
        '{"output":"Iris-virginica","model_name":"log_reg_1"}'
    }
    assert max(answer.seconds for answer in answers) <= DEADLINE + 0.5
    assert max(answer.at for answer in answers if answer.status == 503) < back + 3


Answer = collections.namedtuple("Answer", "at status body seconds")


async def _under_fire(
    served: Served, before: list[psutil.Process], killed: list[psutil.Process], rate: float = 50
) -> tuple[list[Answer], float]:
    """Steady requests, and a kill -9 once some are answered, until a hundred are answered again.

    With the time at which the next model server itself said that it was ready.
    """
    answers: list[Answer] = []
    back = float("inf")

    async def one(session: aiohttp.ClientSession) -> None:
        at = time.monotonic()
        async with session.post("/iris/predict", json=IRIS) as response:
            body = await response.text()
        answers.append(Answer(at, response.status, body, time.monotonic() - at))

    async def watch(session: aiohttp.ClientSession) -> float:
        """Asks the model server, once nothing is left of the one before."""
        await asyncio.to_thread(comes, lambda: not any(lives(process) for process in before))
        url = f"http://127.0.0.1:{served.place.environment['SEPAL_MODEL_SERVER_PORT']}/readyz"
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(url) as response:
                    if response.status == 200:
                        return time.monotonic()
            await asyncio.sleep(0.05)

    def answered(after: float) -> int:
        return sum(1 for answer in answers if answer.status == 200 and answer.at > after)

    connector = aiohttp.TCPConnector(limit=0)
    async with (
        asyncio.timeout(120),
        aiohttp.ClientSession(served.url, connector=connector) as session,
        asyncio.TaskGroup() as tasks,
    ):
        watching: asyncio.Task[float] | None = None
        while answered(after=back) < 100:
            tasks.create_task(one(session))
            if watching is None and len(answers) > 2 * rate:
                for process in killed:
                    process.kill()
                watching = tasks.create_task(watch(session))
            elif watching is not None and watching.done():
                back = watching.result()
            await asyncio.sleep(1 / rate)
    return answers, back


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
    with process, none_left(process):
        _wait_for(url)
        tiers = psutil.Process(process.pid).children()
        (model_server,) = (tier for tier in tiers if "bentoml" in " ".join(tier.cmdline()))
        model_server.kill()
        model_server.wait(LONG)
        assert comes(lambda: _status(url) != 200)
        _wait_for(url)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0


def _wait_for(url: str) -> None:
    assert comes(lambda: _status(url) == 200)


def _status(url: str) -> int:
    """0 if nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 (our own gateway)
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


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
