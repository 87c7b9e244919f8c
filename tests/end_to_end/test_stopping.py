"""SIGTERM from outside to either tier under `sepal serve`, with requests under way: none is cut off."""

import asyncio
import collections
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.end_to_end.conftest import IRIS, Place, Served, serving
from tests.tiers import lives, none_left
from tests.waiting import LONG, comes

pytestmark = pytest.mark.end_to_end

TIMES = 2


@pytest.mark.parametrize("tier", ["gateway", "model server"])
def test_a_tier_that_is_told_to_stop_under_load_cuts_no_request_off(trained: Place, tier: str) -> None:
    with serving(trained.beside(), "iris") as served:
        outcomes = asyncio.run(_stop_under_load(served, tier))
        assert served.post("/iris/predict", IRIS)["output"] == "Iris-virginica"
    assert set(outcomes) <= {200, 503, "nobody listens"}, outcomes
    assert outcomes[200] > 100


@pytest.mark.parametrize(
    ("stop", "after"),
    [
        (signal.SIGINT, 0.0),
        (signal.SIGTERM, 0.0),
        (signal.SIGINT, 0.3),
        (signal.SIGTERM, 0.7),
        (signal.SIGINT, 1.2),
    ],
)
def test_it_can_be_stopped_while_it_still_starts(
    trained: Place, stop: signal.Signals, after: float
) -> None:
    place = trained.beside()
    place.environment["SEPAL_STOP_TIMEOUT"] = "60"
    with place.start("serve", "iris") as process, none_left(process):
        serve = psutil.Process(process.pid)
        assert comes(lambda: len(serve.children()) >= 2 or process.poll() is not None)
        time.sleep(after)
        processes = serve.children(recursive=True)
        process.send_signal(stop)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert "Stopped.\n" in said
        assert "does not stop" not in said
        assert "Traceback" not in said
        assert comes(lambda: not any(lives(one) for one in processes))


def test_a_ctrl_c_after_sigterm_spares_the_gateway_its_delay(trained: Place) -> None:
    place = trained.beside()
    place.environment["SEPAL_DRAIN_DELAY"] = "600"
    with serving(place, "iris") as served:
        served.process.send_signal(signal.SIGTERM)
        assert comes(lambda: served.call("/readyz")[0] == 503)


def test_a_gateway_whose_parent_was_killed_leaves_no_workers_and_is_started_again(trained: Place) -> None:
    place = trained.beside()
    place.environment |= {"SEPAL_GATEWAY_WORKERS": "2", "SEPAL_DRAIN_DELAY": "600"}
    with serving(place, "iris") as served:
        parent = _process(served, "gateway")
        workers = parent.children()
        parent.kill()
        assert comes(lambda: not any(lives(worker) for worker in workers))
        assert comes(lambda: _answers(served))


def test_a_tier_that_can_not_be_started_is_tried_again(trained: Place, tmp_path: Path) -> None:
    """Here since its program is away for a while; it may as well be too many processes, or no memory."""
    python = _python_of_its_own(tmp_path)
    with _supervising(trained.beside(), python) as served:
        program = python.rename(tmp_path / "away")
        _process(served, "gateway").kill()
        assert served.process.stdout is not None
        for line in served.process.stdout:
            if line == "The gateway can't be started (No such file or directory); trying again.\n":
                break
        program.rename(python)
        assert comes(lambda: _answers(served))
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(60) == 0


FAILS = """
import asyncio, sys
from sepal.contracts.catalogue import load_contracts
from sepal.settings import load_settings
from sepal.supervisor import Supervisor

def say(line):
    print(line, flush=True)
    if "starting it again" in line:
        raise RuntimeError("as nobody foresaw")

asyncio.run(Supervisor(load_settings(), load_contracts((), ["iris"]), say).run())
"""


def test_a_supervisor_that_fails_leaves_no_tier_behind(trained: Place, tmp_path: Path) -> None:
    with _supervising(trained.beside(), Path(sys.executable), "-c", FAILS) as served:
        processes = psutil.Process(served.process.pid).children(recursive=True)
        _process(served, "gateway").kill()
        said, _ = served.process.communicate(timeout=60)
        assert "as nobody foresaw" in said
        assert served.process.returncode == 1
        assert comes(lambda: not any(lives(one) for one in processes))


@contextmanager
def _supervising(place: Place, python: Path, *program: str) -> Iterator[Served]:
    """A supervisor in another way than by `sepal serve`, once it says that it is ready."""
    process = subprocess.Popen(
        [str(python), *(program or ("-m", "sepal.cli", "serve", "iris"))],
        env={**place.environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process, none_left(process):
        assert process.stdout is not None
        assert any("Ctrl-C stops both tiers" in line for line in process.stdout)
        yield Served(place, f"http://127.0.0.1:{place.environment['SEPAL_GATEWAY_PORT']}", process)


def _python_of_its_own(folder: Path) -> Path:
    """An interpreter with this one's packages, which can be taken away."""
    python = folder / "python"
    python.symlink_to(Path(sys.executable).resolve())
    return python


def _answers(served: Served) -> bool:
    try:
        return served.call("/iris/predict", json.dumps(IRIS).encode())[0] == 200
    except OSError:
        return False


async def _stop_under_load(served: Served, tier: str) -> "collections.Counter[int | str]":
    outcomes: collections.Counter[int | str] = collections.Counter()
    ended = False

    async def ask(client: aiohttp.ClientSession) -> None:
        while not ended:
            try:
                async with client.post("/iris/predict", json=IRIS) as answer:
                    body = await answer.json(content_type=None)
                    assert answer.status != 200 or body["output"] == "Iris-virginica"
                    outcomes[answer.status] += 1
            except aiohttp.ClientConnectorError:
                outcomes["nobody listens"] += 1
            except aiohttp.ClientError as error:
                outcomes[repr(error)] += 1
            await asyncio.sleep(0.005)

    async with aiohttp.ClientSession(served.url) as client, asyncio.TaskGroup() as tasks:
        for _ in range(16):
            tasks.create_task(ask(client))
        for _ in range(TIMES):
            await asyncio.sleep(1)
            process = _process(served, tier)
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, LONG)
            await _answers_again(client)
        ended = True
    return outcomes


def _process(served: Served, tier: str) -> psutil.Process:
    if tier == "model server":
        return served.model_server()[0]
    children = psutil.Process(served.process.pid).children()
    return next(child for child in children if "sepal.gateway" in child.cmdline())


async def _answers_again(client: aiohttp.ClientSession) -> None:
    until = time.monotonic() + LONG
    while time.monotonic() < until:
        try:
            async with client.post("/iris/predict", json=IRIS) as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientConnectorError:
            pass
        await asyncio.sleep(0.05)
    pytest.fail("it does not answer again")
