"""A request's key: travels with each of its rows, on either route, and costs others nothing."""

import asyncio
import math
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sepal.contracts import wire
from sepal.gateway.trial_key import trial_key
from tests.gateway.conftest import RIDE, FakeModelServer, gateway, settings_for
from tests.gateway.metrics import comes_to
from tests.waiting import LONG

WIDTH = 4


def test_the_number_of_a_key_is_the_same_everywhere_and_below_one() -> None:
    assert trial_key({"headers": [(b"x-trial-key", b"ann")]}) == pytest.approx(0.55168, abs=1e-5)
    numbers = {trial_key({"headers": [(b"x-trial-key", b"%d" % n)]}) for n in range(1000)}
    assert len(numbers) == 1000
    assert all(number is not None and 0 <= number < 1 for number in numbers)


@pytest.mark.parametrize("headers", [[], [(b"x-trial-key", b"")], [(b"x-request-id", b"ann")]])
def test_without_a_key_there_is_no_number(headers: list[tuple[bytes, bytes]]) -> None:
    assert trial_key({"headers": headers}) is None


class Watched:
    """What reaches the model server: of each call the keys of its rows, or None if it has no keys."""

    def __init__(self, model_server: FakeModelServer) -> None:
        self.calls: list[list[float] | None] = []
        self.rows: list[list[float]] = []
        self._answer = model_server.answer
        self.go = asyncio.Event()
        self.go.set()
        model_server.respond = self.respond

    async def respond(self, request: web.Request) -> web.StreamResponse:
        numbers, keys = wire.unpack(await request.read()), None
        if request.content_type == wire.KEYED_MEDIA_TYPE:
            n_rows = len(numbers) // (WIDTH + 1)
            numbers, keys = numbers[: n_rows * WIDTH], numbers[n_rows * WIDTH :].tolist()
        self.calls.append(keys)
        self.rows.append(numbers[::WIDTH].tolist())
        await self.go.wait()
        return self._answer("ride_duration", numbers.tobytes())


async def post(client: aiohttp.ClientSession, rows: Any, key: str | None = None) -> Any:  # noqa: ANN401
    headers = {} if key is None else {"X-Trial-Key": key}
    async with client.post("/ride_duration/predict", json=rows, headers=headers) as response:
        assert response.status == 200
        answers = await response.json()
    return answers if isinstance(answers, list) else [answers]


@pytest.mark.parametrize("coalesce", ["on", "off"])
@pytest.mark.parametrize("fast_route", ["on", "off"])
async def test_each_row_takes_its_requests_key_along(
    model_server: FakeModelServer, fast_route: str, coalesce: str
) -> None:
    watched = Watched(model_server)
    number = trial_key({"headers": [(b"x-trial-key", b"ann")]})
    rows = [{**RIDE, "PULocationID": n} for n in range(1, 8)]
    settings = settings_for(model_server, fast_route=fast_route, coalesce=coalesce, max_call_rows=3)
    async with gateway(settings) as client:
        answers = await post(client, rows, "ann")
        await post(client, RIDE, "ann")
        await post(client, RIDE)
        await post(client, RIDE, "")
    assert [answer["output"] for answer in answers] == [n / 2 for n in range(1, 8)]
    assert watched.calls == [[number] * 3, [number] * 3, [number], [number], None, None]


async def test_rows_without_a_key_that_go_together_with_others_have_none(
    model_server: FakeModelServer,
) -> None:
    watched = Watched(model_server)
    watched.go.clear()
    async with gateway(settings_for(model_server, request_timeout=LONG)) as client:
        first = asyncio.create_task(post(client, RIDE))
        assert await comes_to(client, "sepal_call_rows_count ride_duration", 1)
        keys = ["ann", None, "bob"]
        others = [
            asyncio.create_task(post(client, [{**RIDE, "PULocationID": at + 1}] * 2, key))
            for at, key in enumerate(keys)
        ]
        assert await comes_to(client, "sepal_waiting_rows ride_duration", 6)
        watched.go.set()
        answers = await asyncio.gather(first, *others)
    assert [[one["output"] for one in answer] for answer in answers[1:]] == [
        [0.5] * 2,
        [1.0] * 2,
        [1.5] * 2,
    ]
    assert watched.calls[0] is None
    assert watched.calls[1] is not None
    by_row = dict(zip(watched.rows[1], watched.calls[1], strict=True))
    assert by_row[1.0] == trial_key({"headers": [(b"x-trial-key", b"ann")]})
    assert by_row[3.0] == trial_key({"headers": [(b"x-trial-key", b"bob")]})
    assert math.isnan(by_row[2.0])
