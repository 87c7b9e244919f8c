"""The real gateway over HTTP, in front of a small honest model server that a test can make misbehave."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import uvicorn
from aiohttp import web

from sepal.contracts import Labels, wire
from sepal.contracts.catalogue import load_contracts
from sepal.gateway.app import create_app
from sepal.gateway.http_protocol import BoundedHttp
from sepal.settings import Settings
from sepal.telemetry.logs import Log

IRIS = {"SepalLengthCm": 5, "SepalWidthCm": 2, "PetalLengthCm": 3, "PetalWidthCm": 4}
RIDE = {"PULocationID": 10, "DOLocationID": 50, "trip_distance": 40}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeModelServer:
    """Speaks the wire format. Its model: the label, or quantity, is made from the row's first feature.

    `respond` replaces how it answers a call to score; `calls` counts these. With `hangs` it does not
    even say how it is.
    """

    url: str = ""
    respond: Handler | None = None
    status: Any = field(default_factory=dict)
    versions: Any = field(default_factory=dict)
    calls: int = 0
    hangs: bool = False
    contracts = load_contracts()

    def __post_init__(self) -> None:
        self.status = {name: {"version": "fake_7"} for name in self.contracts}

    async def score(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        if self.respond is not None:
            return await self.respond(request)
        return self.answer(request.match_info["model"], await request.read())

    def answer(self, model: str, body: bytes) -> web.Response:
        contract = self.contracts[model]
        numbers, width = wire.unpack(body), len(contract.columns)
        answers: list[float] = []
        for first in numbers[::width]:
            answers.append(7)
            if isinstance(contract.target, Labels):
                code = int(first) % 3
                answers += [code, *(1.0 if label == code else 0.0 for label in range(3))]
            else:
                answers.append(first / 2)
        return self.response(wire.pack(answers))

    @staticmethod
    def response(
        body: bytes, versions: str = '{"7": "fake_7"}', media_type: str = wire.MEDIA_TYPE
    ) -> web.Response:
        return web.Response(body=body, content_type=media_type, headers={wire.VERSIONS_HEADER: versions})

    async def models(self, _request: web.Request) -> web.Response:
        if self.hangs:
            await asyncio.sleep(10)
        if isinstance(self.status, bytes):
            return web.Response(body=self.status)
        return web.Response(text=json.dumps(self.status))

    async def all_versions(self, _request: web.Request) -> web.Response:
        return web.Response(text=json.dumps(self.versions))


@asynccontextmanager
async def running(model_server: FakeModelServer, port: int = 0) -> AsyncIterator[FakeModelServer]:
    app = web.Application()
    app.router.add_post("/{model}/score", model_server.score)
    app.router.add_get("/models", model_server.models)
    app.router.add_get("/versions", model_server.all_versions)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    model_server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield model_server
    finally:
        await runner.cleanup()


@pytest.fixture
async def model_server() -> AsyncIterator[FakeModelServer]:
    async with running(FakeModelServer()) as server:
        yield server


@asynccontextmanager
async def gateway(
    settings: Settings, keep_alive: float = 75, log: Log | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    """The gateway of these settings on a free port; a session with its base URL."""
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings, log),
            port=0,
            http=BoundedHttp,
            ws="none",
            timeout_keep_alive=keep_alive,  # type: ignore[arg-type]  # it takes parts of a second
            log_level="warning",
            lifespan="on",
        )
    )
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not serving.done(), "the gateway has not started"
            await asyncio.sleep(0.001)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield session
    finally:
        server.should_exit = True
        await serving


def settings_for(model_server: FakeModelServer, **changes: Any) -> Settings:  # noqa: ANN401
    """Settings under which a busy machine has time; tests of what comes too late say so."""
    values = {"model_server_url": model_server.url, "ready_cache": 0, "request_timeout": 30}
    return Settings(**{**values, **changes})


@pytest.fixture
async def client(model_server: FakeModelServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with gateway(settings_for(model_server)) as session:
        yield session


async def call(
    client: aiohttp.ClientSession,
    method: str,
    path: str,
    **more: Any,  # noqa: ANN401
) -> tuple[int, Any, Any]:
    """Status, JSON body and headers of one request; every error must be a problem document."""
    async with client.request(method, path, **more) as response:
        body = await response.json(content_type=None)
        if response.status >= 400 and path not in ("/readyz", "/healthz"):
            assert response.content_type == "application/problem+json"
            assert body["status"] == response.status
            assert body["request_id"] == response.headers["X-Request-ID"]
            assert body["title"]
            assert body["detail"].endswith(".")
        return response.status, body, response.headers
