"""What a worker of the model server tells of the calls that come to it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message

from sepal.contracts import wire
from sepal.contracts.iris import contract as iris
from sepal.model_server.service import build_service
from sepal.registry import Version
from sepal.settings import Settings
from sepal.telemetry.correlation import REQUESTS_HEADER
from sepal.telemetry.logs import Log
from sepal.telemetry.writer import LineWriter
from tests.ports import free_port
from tests.telemetry.collector import collecting

ROWS = np.random.default_rng(4).uniform(0.1, 9, (20, 4))
HEADERS = {
    "Content-Type": wire.MEDIA_TYPE,
    wire.CONTRACT_HEADER: iris.signature,
    REQUESTS_HEADER: "one,two",
}


@asynccontextmanager
async def living(app: Any) -> AsyncIterator[None]:  # noqa: ANN401 (BentoML ships no types)
    """An application's life as a server has it, warming up included."""
    received: asyncio.Queue[Message] = asyncio.Queue()
    sent: asyncio.Queue[Message] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan", "asgi": {}, "app": app}, received.get, sent.put))
    await received.put({"type": "lifespan.startup"})
    assert (await sent.get())["type"] == "lifespan.startup.complete"
    try:
        yield
    finally:
        await received.put({"type": "lifespan.shutdown"})
        await life


async def run(settings: Settings, log: Log | None, *paths: str) -> list[httpx.Response]:
    """A worker from its start to its end: two calls, one of them wrong, then these paths."""
    app: Any = build_service(settings, log).to_asgi(is_main=True)
    async with (
        living(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://model-server") as client,
    ):
        assert (
            await client.post("/iris/score", content=ROWS.tobytes(), headers=HEADERS)
        ).status_code == 200
        assert (await client.post("/iris/score", content=b"no", headers=HEADERS)).status_code == 400
        return [await client.get(path) for path in paths]


def samples(text: str) -> dict[str, float]:
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_each_call_has_one_line_that_names_its_requests(
    settings: Settings, version: Version, tmp_path: Path
) -> None:
    with (tmp_path / "log").open("wb") as file:
        writer = LineWriter(file.fileno())
        await run(settings, Log(settings, writer))
        writer.close()
    right, wrong = (json.loads(line) for line in (tmp_path / "log").read_text().splitlines())
    assert right.pop("latency_ms") > 0
    assert right.pop("timestamp")
    assert right == {
        "level": "info",
        "event": "call_metrics",
        "endpoint": "/iris/score",
        "status_code": 200,
        "request_ids": ["one", "two"],
        "model": "iris",
        "version": version.name,
        "rows": 20,
    }
    assert (wrong["status_code"], wrong["rows"], wrong["version"]) == (400, 0, None)


async def test_what_is_counted_and_that_warming_up_is_not(settings: Settings, version: Version) -> None:
    (response,) = await run(settings, None, "/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    counted = samples(response.text)
    for name, count in {
        "sepal_calls_total /iris/score 200": 1,
        "sepal_calls_total /iris/score 400": 1,
        "sepal_call_duration_seconds_count /iris/score": 2,
        "sepal_stage_duration_seconds_count /iris/score scoring": 1,
        "sepal_batch_rows_sum iris": 20,
        "sepal_swaps_total iris": 0,
        f"sepal_model_version_info iris {version.name}": 1,
        "sepal_model_loaded iris": 1,
        "sepal_model_refused iris": 0,
        "sepal_model_loaded ride_duration": 0,
        "sepal_model_refused ride_duration": 1,
        "sepal_workers model server": 1,
    }.items():
        assert counted[name] == count, name


async def test_metrics_can_have_a_port_of_their_own(settings: Settings, version: Version) -> None:
    port = free_port()
    own = settings.model_copy(update={"model_server_metrics_port": port})
    app: Any = build_service(own).to_asgi(is_main=True)
    async with (
        living(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://model-server") as public,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as inside,
    ):
        assert (await public.get("/metrics")).status_code == 404
        told = samples((await inside.get("/metrics")).text)
    assert told[f"sepal_model_version_info iris {version.name}"] == 1


async def test_a_call_and_its_scoring_are_spans(settings: Settings, version: Version) -> None:
    del version
    with collecting() as collector:
        await run(settings.model_copy(update={"traces_endpoint": collector.url}), None)
    names = [span.name for service, span in collector.spans if service == "sepal-model-server"]
    assert sorted(names) == ["POST /iris/score", "POST /iris/score", "scoring"]
