"""SIGTERM from outside to either tier under `sepal serve`, with requests under way: none is cut off."""

import asyncio
import collections
import signal
import time

import aiohttp
import psutil
import pytest

from tests.end_to_end.conftest import IRIS, Place, Served, serving

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("faults")]

TIMES = 3


@pytest.mark.parametrize("tier", ["gateway", "model server"])
def test_a_tier_that_is_told_to_stop_under_load_cuts_no_request_off(trained: Place, tier: str) -> None:
    with serving(trained.beside(), "iris") as served:
        outcomes = asyncio.run(_stop_under_load(served, tier))
        assert served.post("/iris/predict", IRIS)["output"] == "Iris-virginica"
    assert set(outcomes) <= {200, 503, "nobody listens"}, outcomes
    assert outcomes[200] > 100


@pytest.mark.parametrize("after", [0.0, 0.3, 0.7, 1.2])
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped_while_it_still_starts(
    trained: Place, stop: signal.Signals, after: float
) -> None:
    with trained.beside().start("serve", "iris") as process:
        serve = psutil.Process(process.pid)
        while len(serve.children()) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(after)
        processes = serve.children(recursive=True)
        process.send_signal(stop)
        try:
            said, _ = process.communicate(timeout=15)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Stopped.\n" in said
    assert "does not stop" not in said
    assert "Traceback" not in said
    assert not psutil.wait_procs(processes, timeout=5)[1]


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
            await asyncio.to_thread(process.wait, 10)
            await _answers_again(client)
        ended = True
    return outcomes


def _process(served: Served, tier: str) -> psutil.Process:
    if tier == "model server":
        return served.model_server()[0]
    children = psutil.Process(served.process.pid).children()
    return next(child for child in children if "sepal.gateway" in child.cmdline())


async def _answers_again(client: aiohttp.ClientSession) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            async with client.post("/iris/predict", json=IRIS) as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientConnectorError:
            pass
        await asyncio.sleep(0.05)
    pytest.fail("it does not answer again")
