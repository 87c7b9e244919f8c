"""A gateway process that is told to stop: it says so, answers what is under way, and ends with 0."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.gateway.conftest import IRIS, FakeModelServer
from tests.gateway.processes import process, status_of, until
from tests.ports import free_port
from tests.tiers import lives
from tests.waiting import LONG, comes


@pytest.mark.parametrize("workers", [1, 2])
async def test_it_is_not_ready_at_once_takes_connections_for_a_while_and_ends_with_0(
    model_server: FakeModelServer, workers: int
) -> None:
    async with process(model_server, drain_delay=8, gateway_workers=workers) as (gateway, url):
        gateway.send_signal(signal.SIGTERM)
        await until(f"{url}/readyz", 503, 6)
        async with aiohttp.ClientSession(url) as client, client.post("/iris/predict", json=IRIS) as answer:
            assert answer.status == 200
            assert answer.headers["Connection"] == "close"
        assert await status_of(f"{url}/livez") == 200
        assert await asyncio.wait_for(gateway.wait(), LONG) == 0


async def test_a_request_under_way_is_answered_and_its_connection_closed(
    model_server: FakeModelServer,
) -> None:
    asked = asyncio.Event()

    async def slowly(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        asked.set()
        await asyncio.sleep(1.5)
        return model_server.answer("iris", await request.read())

    async with process(model_server) as (gateway, url):
        model_server.respond = slowly
        async with aiohttp.ClientSession(url) as client:
            asking = asyncio.create_task(client.post("/iris/predict", json=IRIS))
            await asked.wait()
            gateway.send_signal(signal.SIGTERM)
            answer = await asking
            assert (answer.status, answer.headers["Connection"]) == (200, "close")
            assert (await answer.json())["output"] == "Iris-virginica"
        assert await asyncio.wait_for(gateway.wait(), LONG) == 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kept", [True, False], ids=["kept connections", "new connections"])
async def test_under_load_no_request_is_cut_off(
    model_server: FakeModelServer, kept: bool, workers: int
) -> None:
    wrong: list[str] = []
    answered = 0

    async def ask(client: aiohttp.ClientSession) -> None:
        nonlocal answered
        while True:
            try:
                async with client.post("/iris/predict", json=IRIS) as answer:
                    assert answer.status == 200
                    await answer.read()
                    answered += 1
            except aiohttp.ClientConnectorError:
                return  # it has stopped
            except aiohttp.ClientError as error:
                wrong.append(repr(error))
            await asyncio.sleep(0.001)

    async with process(model_server, gateway_workers=workers) as (gateway, url):
        connector = aiohttp.TCPConnector(force_close=not kept)
        async with aiohttp.ClientSession(url, connector=connector) as client:
            load = [asyncio.create_task(ask(client)) for _ in range(16)]
            async with asyncio.timeout(LONG):
                while answered <= 100:  # noqa: ASYNC110 (nor then)
                    await asyncio.sleep(0.01)
            gateway.send_signal(signal.SIGTERM)
            await asyncio.wait_for(asyncio.gather(*load), LONG)
        assert await asyncio.wait_for(gateway.wait(), LONG) == 0
    assert not wrong


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGINT]], ids=["at once", "later"]
)
async def test_ctrl_c_stops_it_without_the_delay(
    model_server: FakeModelServer, signals: list[signal.Signals], workers: int
) -> None:
    async with process(model_server, drain_delay=600, gateway_workers=workers) as (gateway, url):
        for number in signals:
            gateway.send_signal(number)
            if number is signal.SIGTERM:
                await until(f"{url}/readyz", 503, LONG)
        assert await asyncio.wait_for(gateway.wait(), LONG) == 0


STOPPED_WHILE_IT_STARTS = """
import os, signal
from sepal.gateway import __main__ as gateway

make = gateway.app

def app():
    made = make()
    os.kill(os.getpid(), signal.SIGTERM)
    return made

gateway.app = app
gateway.main()
"""


async def test_a_gateway_that_is_stopped_while_it_starts_is_never_ready_and_has_its_delay(
    model_server: FakeModelServer,
) -> None:
    program = ("-c", STOPPED_WHILE_IT_STARTS)
    async with process(model_server, *program, until_it_is=503, drain_delay=8) as (gateway, url):
        async with aiohttp.ClientSession(url) as client, client.post("/iris/predict", json=IRIS) as answer:
            assert answer.status == 200
            assert answer.headers["Connection"] == "close"
        assert await status_of(f"{url}/readyz") == 503
        assert await asyncio.wait_for(gateway.wait(), LONG) == 0


async def test_workers_whose_parent_was_killed_let_go_of_the_port_whatever_the_delay(
    model_server: FakeModelServer,
) -> None:
    async with process(model_server, drain_delay=600, gateway_workers=2) as (gateway, url):
        workers = psutil.Process(gateway.pid).children()
        gateway.kill()
        await gateway.wait()
        await until(f"{url}/livez", 0, LONG)
    assert comes(lambda: not any(lives(worker) for worker in workers))


TAKES_THE_PORT = """
import multiprocessing, os, socket

if multiprocessing.parent_process() is not None or not {in_worker}:
    listener = socket.socket()
    listener.bind(("127.0.0.1", int(os.environ["{port}"])))
    listener.listen()
"""


@pytest.mark.parametrize(
    ("workers", "port", "in_worker"),
    [(1, "SEPAL_GATEWAY_PORT", False), (2, "SEPAL_GATEWAY_PORT", False), (2, "SEPAL_METRICS_PORT", True)],
    ids=["one", "two, in their parent", "two, in a worker"],
)
def test_a_start_that_fails_for_a_reason_that_may_pass_ends_with_1(
    tmp_path: Path, workers: int, port: str, in_worker: bool
) -> None:
    """3 would say that it can't work as it is set, and 0 that it was told to stop."""
    (tmp_path / "takes_it.py").write_text(TAKES_THE_PORT.format(in_worker=in_worker, port=port))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SEPAL_")},
        "SEPAL_CONTRACTS_PATH": str(tmp_path),
        "SEPAL_GATEWAY_WORKERS": str(workers),
        "SEPAL_GATEWAY_PORT": str(free_port()),
        "SEPAL_METRICS_PORT": str(free_port()),
    }
    command = [sys.executable, "-m", "sepal.gateway"]
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=LONG, check=False)
    assert ended.returncode == 1, ended.stderr
