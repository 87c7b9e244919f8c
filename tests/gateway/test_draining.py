"""A gateway process that is told to stop: it says so, answers what is under way, and ends with 0."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.gateway.conftest import IRIS, FakeModelServer
from tests.ports import free_port
from tests.waiting import LONG


@asynccontextmanager
async def process(
    model_server: FakeModelServer, stdout: int | None = None, **settings: object
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`python -m sepal.gateway` once it is ready, and its URL."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SEPAL_")},
        "SEPAL_GATEWAY_PORT": str(port),
        "SEPAL_MODEL_SERVER_URL": model_server.url,
        **{f"SEPAL_{name.upper()}": str(value) for name, value in settings.items()},
    }
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sepal.gateway"), env=environment, stdout=stdout
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(LONG):
            while await status_of(f"{url}/readyz") != 200:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.05)
        yield started, url
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


async def status_of(url: str) -> int:
    """0 if nobody listens."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status
    except aiohttp.ClientConnectionError:
        return 0


async def until(url: str, status: int, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while await status_of(url) != status:  # noqa: ASYNC110 (nor then)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("workers", [1, 2])
async def test_it_is_not_ready_at_once_takes_connections_for_a_while_and_ends_with_0(
    model_server: FakeModelServer, workers: int
) -> None:
    async with process(model_server, drain_delay=2, gateway_workers=workers) as (gateway, url):
        gateway.send_signal(signal.SIGTERM)
        await until(f"{url}/readyz", 503, 1.0)
        async with aiohttp.ClientSession(url) as client, client.post("/iris/predict", json=IRIS) as answer:
            assert answer.status == 200
            assert answer.headers["Connection"] == "close"
        assert await status_of(f"{url}/livez") == 200
        assert await asyncio.wait_for(gateway.wait(), 10) == 0


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
        assert await asyncio.wait_for(gateway.wait(), 10) == 0


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
            await asyncio.sleep(0.5)
            gateway.send_signal(signal.SIGTERM)
            await asyncio.wait_for(asyncio.gather(*load), 10)
        assert await asyncio.wait_for(gateway.wait(), 10) == 0
    assert not wrong
    assert answered > 100


async def test_ctrl_c_stops_it_without_the_delay(model_server: FakeModelServer) -> None:
    async with process(model_server, drain_delay=60) as (gateway, _):
        gateway.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(gateway.wait(), 10) == 0
