"""The fast route against the declared one: the same answers byte for byte, and the same errors."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from sepal.contracts import wire
from sepal.contracts.catalogue import load_contracts
from sepal.gateway.app import create_app
from sepal.settings import Settings
from tests.gateway.bodies import PATHS, answer, answered_alike
from tests.gateway.conftest import IRIS, RIDE, FakeModelServer, gateway, settings_for
from tests.gateway.metrics import comes_to, samples
from tests.waiting import LONG


async def test_2500_good_and_bad_bodies_are_answered_alike(model_server: FakeModelServer) -> None:
    await answered_alike(model_server, 2_500)


async def test_an_error_from_upstream_is_told_alike(model_server: FakeModelServer) -> None:
    async def refuse(_: object) -> aiohttp.web.StreamResponse:
        return aiohttp.web.Response(status=500)

    model_server.respond = refuse
    headers = {"Content-Type": "application/json", "X-Request-ID": "one"}
    async with (
        gateway(settings_for(model_server, fast_route="on")) as fast,
        gateway(settings_for(model_server, fast_route="off")) as declared,
    ):
        answers = [
            await answer(client, "/iris/predict", json.dumps(IRIS).encode(), headers)
            for client in (fast, declared)
        ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 503


async def test_the_row_of_a_client_that_hangs_up_while_it_waits_is_not_sent(
    model_server: FakeModelServer,
) -> None:
    seen: list[list[float]] = []
    go = asyncio.Event()

    async def hold(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        body = await request.read()
        seen.append(wire.unpack(body)[::4].tolist())
        await go.wait()
        return model_server.answer("ride_duration", body)

    model_server.respond = hold
    async with gateway(settings_for(model_server, request_timeout=LONG)) as client:
        first = asyncio.create_task(post(client, {**RIDE, "PULocationID": 1}))
        assert await comes_to(client, "sepal_call_rows_count ride_duration", 1)
        second = asyncio.create_task(post(client, {**RIDE, "PULocationID": 2}))
        assert await comes_to(client, "sepal_waiting_rows ride_duration", 1)
        third = asyncio.create_task(post(client, {**RIDE, "PULocationID": 3}))
        assert await comes_to(client, "sepal_waiting_rows ride_duration", 2)
        connections = (await samples(client))["sepal_connections"]
        second.cancel()
        assert await comes_to(client, "sepal_connections", connections - 1)
        go.set()
        assert [await first, await third] == [0.5, 1.5]
    assert seen == [[1.0], [3.0]]


async def post(client: aiohttp.ClientSession, row: dict[str, Any]) -> float:
    async with client.post("/ride_duration/predict", json=row) as response:
        return float((await response.json())["output"])


async def test_a_body_in_many_pieces_is_answered_like_one_in_one(model_server: FakeModelServer) -> None:
    rows = json.dumps([IRIS] * 5000).encode()

    async def pieces() -> Any:  # noqa: ANN401
        for at in range(0, len(rows), 10_000):
            yield rows[at : at + 10_000]

    async with (
        gateway(settings_for(model_server)) as client,
        client.post(
            "/iris/predict", data=pieces(), headers={"Content-Type": "application/json"}
        ) as response,
    ):
        assert len(await response.json()) == 5000


async def test_a_body_that_grows_beyond_its_bound_is_413(model_server: FakeModelServer) -> None:
    async def endless() -> Any:  # noqa: ANN401
        for _ in range(100):
            yield b"[" * 1000

    async with (
        gateway(settings_for(model_server, max_body_bytes=20_000)) as client,
        client.post(
            "/iris/predict", data=endless(), headers={"Content-Type": "application/json"}
        ) as response,
    ):
        assert response.status == 413


def test_the_openapi_document_is_the_same() -> None:
    documents = [create_app(Settings(fast_route=way)).openapi() for way in ("on", "off")]  # type: ignore[arg-type]
    assert documents[0] == documents[1]


@pytest.mark.parametrize("coalesce", ["on", "off"])
async def test_with_and_without_coalescing_rows_are_answered_alike(
    model_server: FakeModelServer, coalesce: str
) -> None:
    rows = [{**RIDE, "PULocationID": 1 + n % 265} for n in range(500)]
    async with (
        gateway(settings_for(model_server, coalesce=coalesce, max_call_rows=64)) as client,
        client.post("/ride_duration/predict", json=rows) as response,
    ):
        assert [one["output"] for one in await response.json()] == [r["PULocationID"] / 2 for r in rows]
    assert model_server.calls == 8


assert set(PATHS) == {f"/{name}/predict" for name in load_contracts()} | {"/iris/predict-proba"}
