"""The model server's service as an ASGI application: the wire format in, the wire format out."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.pipeline import Pipeline
from starlette.types import Message

from sepal.contracts import wire
from sepal.contracts.iris import contract as iris
from sepal.model_server.service import build_service
from sepal.registry import Draft, Registry, Version
from sepal.settings import Settings
from tests.waiting import LONG

ROWS = np.random.default_rng(4).uniform(0.1, 9, (20, 4))
HEADERS = {"Content-Type": wire.MEDIA_TYPE, wire.CONTRACT_HEADER: iris.signature}


@pytest.fixture
async def client(settings: Settings, version: Version) -> AsyncIterator[httpx.AsyncClient]:
    """A worker that has started: iris has a champion, ride_duration has none."""
    del version  # it is registered: that is all that is needed of it
    app: Any = build_service(settings).to_asgi(is_main=True)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://model-server") as client,
    ):
        yield client


async def test_rows_are_answered_with_the_version_that_scored_them(
    client: httpx.AsyncClient, pipeline: Pipeline
) -> None:
    response = await client.post("/iris/score", content=ROWS.tobytes(), headers=HEADERS)
    assert response.status_code == 200
    assert json.loads(response.headers[wire.VERSIONS_HEADER]) == {"1": "log_reg_1"}
    answers = np.frombuffer(response.content).reshape(20, iris.answer_width)
    assert (answers[:, 2:] == pipeline.predict_proba(ROWS)).all()


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Type": "application/vnd.bentoml+pickle"}, b"cos\nsystem\n(S'true'\ntR.", 415),
        ({"Content-Type": "application/json"}, b"[[1, 2, 3, 4]]", 415),
        ({wire.CONTRACT_HEADER: "another"}, ROWS.tobytes(), 409),
        ({}, ROWS.tobytes()[:-1], 400),
        ({}, ROWS.tobytes()[:-8], 400),
        ({}, b"", 400),
    ],
    ids=["pickle", "JSON", "another contract", "half a number", "half a row", "nothing"],
)
async def test_anything_but_rows_of_the_contract_is_refused(
    client: httpx.AsyncClient, headers: dict[str, str], content: bytes, status: int
) -> None:
    response = await client.post("/iris/score", content=content, headers={**HEADERS, **headers})
    assert response.status_code == status


async def test_rows_with_keys_are_answered_like_rows_without(
    client: httpx.AsyncClient, pipeline: Pipeline
) -> None:
    headers = {**HEADERS, "Content-Type": wire.KEYED_MEDIA_TYPE}
    body = ROWS.tobytes() + np.full(20, 0.5).tobytes()
    response = await client.post("/iris/score", content=body, headers=headers)
    assert response.status_code == 200
    answers = np.frombuffer(response.content).reshape(20, iris.answer_width)
    assert (answers[:, 2:] == pipeline.predict_proba(ROWS)).all()
    response = await client.post("/iris/score", content=body[:-8], headers=headers)
    assert response.status_code == 400


async def test_a_model_without_a_champion_does_not_stop_the_others(client: httpx.AsyncClient) -> None:
    status = (await client.get("/models")).json()
    assert status["iris"] == {"version": "log_reg_1"}
    assert "sepal train ride_duration" in status["ride_duration"]["error"]


async def test_a_model_that_is_not_loaded_answers_503(client: httpx.AsyncClient) -> None:
    from sepal.contracts.ride_duration import contract as ride

    rows = ride.encode([ride.features.model_validate(ride.example)])
    headers = {"Content-Type": wire.MEDIA_TYPE, wire.CONTRACT_HEADER: ride.signature}
    response = await client.post("/ride_duration/score", content=rows, headers=headers)
    assert response.status_code == 503


async def test_a_changed_artefact_is_refused_by_name(
    settings: Settings, registry: Registry, version: Version
) -> None:
    registry.artefacts.path(version.tag).write_bytes(b"swapped")
    app: Any = build_service(settings).to_asgi(is_main=True)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://model-server") as client,
    ):
        status = (await client.get("/models")).json()
    assert "iris:log_reg_1 is not the artefact that was registered" in status["iris"]["error"]


@asynccontextmanager
async def whole_life(app: Any) -> AsyncIterator[None]:  # noqa: ANN401
    """An application from its start to its end, middlewares included, as a server has it."""
    said: asyncio.Queue[str] = asyncio.Queue()
    told: asyncio.Queue[str] = asyncio.Queue()

    async def receive() -> Message:
        return {"type": await told.get()}

    async def send(message: Message) -> None:
        await said.put(message["type"])

    life = asyncio.create_task(app({"type": "lifespan", "app": app}, receive, send))
    await told.put("lifespan.startup")
    assert await said.get() == "lifespan.startup.complete"
    yield
    await told.put("lifespan.shutdown")
    assert await said.get() == "lifespan.shutdown.complete"
    await life


async def test_a_first_champion_that_comes_after_the_start_is_taken_up_and_warmed_up(
    settings: Settings, registry: Registry, draft: Draft
) -> None:
    quick = settings.model_copy(update={"swap_poll": 0.05})
    app: Any = build_service(quick).to_asgi(is_main=True)
    async with (
        whole_life(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://model-server") as client,
    ):
        response = await client.post("/iris/score", content=ROWS.tobytes(), headers=HEADERS)
        assert response.status_code == 503
        await asyncio.to_thread(registry.register, draft)
        async with asyncio.timeout(LONG):
            while (await client.get("/models")).json()["iris"] != {"version": "log_reg_1"}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        calls = (client.post("/iris/score", content=ROWS.tobytes(), headers=HEADERS) for _ in range(20))
        for response in await asyncio.gather(*calls):
            assert json.loads(response.headers[wire.VERSIONS_HEADER]) == {"1": "log_reg_1"}


def test_only_the_models_that_are_set_get_an_api(settings: Settings) -> None:
    service = build_service(settings.model_copy(update={"models": ("iris",)}))
    assert set(service.apis) == {"score_iris"}


async def test_every_version_is_listed_whether_it_answers_or_not(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/versions")).json()
    assert listed == {"iris": [{"name": "log_reg_1", "state": "unjudged"}], "ride_duration": []}


async def test_startup_is_over_once_every_model_has_a_version(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    lacking = await client.get("/startupz")
    assert lacking.status_code == 503
    assert "error" in lacking.json()["ride_duration"]
    app: Any = build_service(settings.model_copy(update={"models": ("iris",)})).to_asgi(is_main=True)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://model-server") as alone,
    ):
        loaded = await alone.get("/startupz")
    assert loaded.status_code == 200
    assert loaded.json() == {"iris": {"version": "log_reg_1"}}
