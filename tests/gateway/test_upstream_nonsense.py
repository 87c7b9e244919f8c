"""What the gateway makes of statuses in pieces, too long or too deep, and of redirects."""

import asyncio
import json
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from sepal.contracts import wire
from tests.gateway.conftest import IRIS, FakeModelServer, call, gateway, running, settings_for
from tests.ports import free_port
from tests.waiting import LONG, comes_async

DEEP = b"[" * 200_000
"""More brackets than Python's parser goes down."""


@dataclass
class Peculiar(FakeModelServer):
    """Says how it is in a way of its own."""

    pieces: tuple[bytes, ...] | None = None

    async def models(self, request: web.Request) -> web.StreamResponse:  # type: ignore[override]
        if self.pieces is None:
            return await super().models(request)
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in self.pieces:
            await response.write(piece)
            await asyncio.sleep(0.05)
        return response

    async def all_versions(self, request: web.Request) -> web.StreamResponse:  # type: ignore[override]
        return await self.models(request)


async def ready(client: aiohttp.ClientSession) -> int:
    async with client.get("/readyz") as response:
        return response.status


async def predicted(client: aiohttp.ClientSession) -> int:
    async with client.post("/iris/predict", json=IRIS) as response:
        return response.status


async def served(client: aiohttp.ClientSession) -> bool:
    return await predicted(client) == 200


async def test_a_status_may_come_in_several_pieces() -> None:
    model_server = Peculiar()
    status = json.dumps(model_server.status).encode()
    model_server.pieces = (status[:20], status[20:])
    async with running(model_server), gateway(settings_for(model_server, request_timeout=LONG)) as client:
        assert await ready(client) == 200


async def test_versions_may_come_in_several_pieces() -> None:
    model_server = Peculiar()
    versions = json.dumps({name: [{"name": "fake_7"}] for name in model_server.contracts}).encode()
    async with running(model_server), gateway(settings_for(model_server, request_timeout=LONG)) as client:
        model_server.pieces = (versions[:20], versions[20:])
        status, index, _ = await call(client, "POST", "/v2/repository/index", json={})
    assert status == 200
    assert {one["name"] for one in index} == set(model_server.contracts)


async def test_the_breaker_closes_after_a_probe_whose_answer_comes_in_several_pieces() -> None:
    model_server, port = Peculiar(), free_port()
    model_server.url = f"http://127.0.0.1:{port}"
    status = json.dumps(model_server.status).encode()
    model_server.pieces = (status[:20], status[20:])
    async with gateway(settings_for(model_server, request_timeout=LONG)) as client:
        assert await predicted(client) == 503
        async with running(model_server, port):
            assert await comes_async(lambda: served(client))


@pytest.mark.parametrize("pieces", [(b"{}" + b" " * 2**20,), (b" " * 2**19, b" " * 2**19, b" {}"), (DEEP,)])
async def test_a_status_that_is_too_long_or_too_deep_is_none(pieces: tuple[bytes, ...]) -> None:
    model_server = Peculiar(pieces=pieces)
    async with running(model_server), gateway(settings_for(model_server, request_timeout=LONG)) as client:
        _, said, _ = await call(client, "GET", "/readyz")
        assert said["models"]["iris"] == {
            "ready": False,
            "version": None,
            "reason": "The model server gave no valid answer. Try again shortly.",
        }
        model_server.pieces = None
        assert await ready(client) == 200


async def test_names_of_versions_that_are_too_deep_are_nonsense() -> None:
    model_server = FakeModelServer()

    async def respond(_: web.Request) -> web.StreamResponse:
        return FakeModelServer.response(wire.pack([7, 2, 0.0, 0.0, 1.0]), versions="[" * 5000)

    model_server.respond = respond
    async with running(model_server), gateway(settings_for(model_server, request_timeout=LONG)) as client:
        assert await predicted(client) == 503


async def test_a_probe_that_is_answered_with_nonsense_does_not_end_the_probing() -> None:
    model_server, port = Peculiar(pieces=(DEEP,)), free_port()
    model_server.url = f"http://127.0.0.1:{port}"
    asked = 0

    async def models(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return await Peculiar.models(model_server, request)

    model_server.models = models  # type: ignore[method-assign]
    async with gateway(settings_for(model_server, request_timeout=LONG)) as client:
        assert await predicted(client) == 503
        async with running(model_server, port):
            while not asked:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.01)
            model_server.pieces = None
            assert await comes_async(lambda: served(client))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_bad_answer_and_nobody_is_sent_the_rows(status: int) -> None:
    other, model_server = FakeModelServer(), FakeModelServer()
    other.url = "http://127.0.0.1:0"
    asked: list[str] = []

    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": other.url + request.path})

    async def take(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return other.answer("iris", await request.read())

    other.respond, model_server.respond = take, redirect
    async with (
        running(other),
        running(model_server),
        gateway(settings_for(model_server, request_timeout=LONG, breaker_failures=2)) as client,
    ):
        for _ in range(2):
            assert await predicted(client) == 503
        async with client.get("/metrics") as response:
            text = await response.text()
        assert 'sepal_upstream_errors_total{kind="bad_answer"} 2' in text
        assert "sepal_breaker_openings_total 1" in text
        model_server.respond = None
        assert await comes_async(lambda: served(client))
    assert asked == []


@pytest.mark.parametrize(
    "said",
    [
        {"error": 5},
        {"version": ["log_reg_1"]},
        {"refused": "so"},
        {"refused": {}},
        {"trial": {"mode": "canary"}},
    ],
    ids=["error", "version", "refused", "reason", "trial"],
)
async def test_a_status_of_another_shape_is_nonsense(said: dict[str, object]) -> None:
    model_server = Peculiar()
    model_server.pieces = (json.dumps({"iris": said, "ride_duration": said}).encode(),)
    async with running(model_server), gateway(settings_for(model_server, request_timeout=LONG)) as client:
        status, body, _ = await call(client, "GET", "/readyz")
        assert status == 503
        assert body["models"]["iris"]["reason"].startswith("The model server gave no valid answer.")
