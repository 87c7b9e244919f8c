"""Both clients, before the real gateway and before a service that answers by a script."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from sepal.client import AsyncClient, Client
from tests.gateway.conftest import FakeModelServer, gateway, model_server, settings_for
from tests.waiting import LONG

__all__ = ["model_server"]

Ask = Callable[..., Awaitable[Any]]


class Either:
    """The sync client, in a thread, or the async one: `await ask("predict", …)` either way."""

    def __init__(self, kind: str, url: str, **choices: Any) -> None:  # noqa: ANN401
        self.client = Client(url, **choices) if kind == "sync" else AsyncClient(url, **choices)

    async def ask(self, method: str, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401
        if isinstance(self.client, Client):
            return await asyncio.to_thread(getattr(self.client, method), *arguments, **more)
        return await getattr(self.client, method)(*arguments, **more)

    async def predict(self, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401
        return await self.ask("predict", *arguments, **more)

    async def close(self) -> None:
        if isinstance(self.client, Client):
            self.client.close()
        else:
            await self.client.aclose()


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def make(kind: str) -> AsyncIterator[Callable[..., Either]]:
    """Makes clients that are closed at the end."""
    made: list[Either] = []

    def make(url: str, **choices: Any) -> Either:  # noqa: ANN401
        made.append(Either(kind, url, **choices))
        return made[-1]

    yield make
    for either in made:
        await either.close()


@pytest.fixture
async def url(model_server: FakeModelServer) -> AsyncIterator[str]:
    """The real gateway's, in front of the fake model server."""
    async with gateway(settings_for(model_server, request_timeout=LONG)) as session:
        yield str(session._base_url)


@pytest.fixture
def client(make: Callable[..., Either], url: str) -> Either:
    return make(url)


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Scripted:
    """A service that gives one answer after the other; the last again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[web.Request, Any]] = []
        self.url = ""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request, await request.json() if request.can_read_body else None))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


@asynccontextmanager
async def scripted(*answers: Answer, **site: Any) -> AsyncIterator[Scripted]:  # noqa: ANN401
    service = Scripted(*answers)
    runner = web.ServerRunner(web.Server(service), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, **site).start()
    host = "localhost" if "ssl_context" in site else "127.0.0.1"
    service.url = f"{'https' if 'ssl_context' in site else 'http'}://{host}:{runner.addresses[0][1]}"
    try:
        yield service
    finally:
        await runner.cleanup()


def problem(status: int, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        document = {"title": "Busy", "status": status, "detail": "Come back.", "request_id": "r-1"}
        return web.json_response(
            document, status=status, headers=headers, content_type="application/problem+json"
        )

    return answer


async def good(_: web.Request) -> web.StreamResponse:
    return web.json_response({"output": "Iris-setosa", "model_name": "m_1"})


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(10 * LONG)
    return web.Response()


async def trickle(request: web.Request) -> web.StreamResponse:
    """A byte now and then, for ever."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.05)
