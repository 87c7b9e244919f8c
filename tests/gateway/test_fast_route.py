"""The fast route against the declared one: the same answers byte for byte, and the same errors."""

import asyncio
import json
import random
from typing import Any

import aiohttp
import pytest

from sepal.contracts import wire
from sepal.contracts.catalogue import load_contracts
from sepal.gateway.app import create_app
from sepal.settings import Settings
from tests.gateway.conftest import IRIS, RIDE, FakeModelServer, gateway, settings_for

BODIES = 10_000

PATHS = {"/iris/predict": IRIS, "/iris/predict-proba": IRIS, "/ride_duration/predict": RIDE}

ODD_VALUES: list[Any] = [
    *(0, 1, 5, 30, 31, -1, 1.5, 2.0, 1e-300, 1e300, 5e-324, 0.1 + 0.2, 10**20, 10**400, -0.0),
    *(True, False, None, "", "5", "x" * 200, [], [1], {}, {"a": 1}),
    *(float("nan"), float("inf"), float("-inf")),
    *("2019-01-15T08:30:00", "2019-01-15T08:30:00Z", "2019-01-15 08:30:00", "2019-01-15", "1547541000"),
    *("2009-01-01T00:00:00", "2100-01-01T00:00:00", "2019-02-29T00:00:00", 1547541000),
]
ODD_NAMES = [
    "",
    "SepalLengthCm",
    "sepal length (cm)",
    "pickup_location_id",
    "tpep_pickup_datetime",
    "é",
    "a/b",
]


def body(draw: random.Random, good: dict[str, Any]) -> bytes:
    """A body that is good, or a little wrong, or no JSON at all."""
    kind = draw.random()
    document: Any = row(draw, good) if kind < 0.6 else [row(draw, good) for _ in range(draw.randrange(4))]
    if draw.random() < 0.03:
        document = draw.choice([5, "row", None, True, [5], [[good]], [None], {"rows": [good]}])
    text = json.dumps(document, ensure_ascii=draw.random() < 0.5, indent=draw.choice([None, None, 1]))
    if draw.random() < 0.05:
        text = text.replace("}", ', "trip_distance": 3.5, "PetalWidthCm": 1.5}', 1)  # a key twice
    raw = text.encode(draw.choice(["utf-8"] * 20 + ["utf-8-sig", "utf-16", "utf-32"]))
    spoil = draw.random()
    if spoil < 0.03:
        at = draw.randrange(len(raw))
        raw = raw[:at] + bytes([draw.randrange(256)]) + raw[at + 1 :]
    elif spoil < 0.06:
        raw = raw[: draw.randrange(len(raw))]
    elif spoil < 0.08:
        raw = draw.choice([b" ", b"\n\t", b"\xef\xbb\xbf"]) + raw + draw.choice([b"", b" ", b"x", b"\x00"])
    return raw


def row(draw: random.Random, good: dict[str, Any]) -> dict[str, Any]:
    made = {name: draw.choice([value, value, draw.uniform(0.1, 30)]) for name, value in good.items()}
    if good is RIDE:
        made = {**good, "trip_distance": draw.uniform(0, 500)}
        if draw.random() < 0.5:
            made["pickup_datetime"] = draw.choice(
                ["2019-01-15T08:30:00", "2019-01-15T08:30:00.123456", None]
            )
    if draw.random() < 0.3:
        made[draw.choice([*made, *ODD_NAMES])] = draw.choice(ODD_VALUES)
    if draw.random() < 0.05:
        made.pop(draw.choice(list(made)))
    return made


async def test_ten_thousand_good_and_bad_bodies_are_answered_alike(model_server: FakeModelServer) -> None:
    draw = random.Random(7)  # noqa: S311
    statuses: dict[int, int] = {}
    async with (
        gateway(settings_for(model_server, fast_route="on")) as fast,
        gateway(settings_for(model_server, fast_route="off")) as declared,
    ):
        for number in range(BODIES):
            path, good = draw.choice(list(PATHS.items()))
            sent = body(draw, good)
            headers = {
                "Content-Type": draw.choice(["application/json"] * 9 + ["application/json; charset=utf-8"])
            }
            headers["X-Request-ID"] = f"request-{number}"
            answers = [await answer(client, path, sent, headers) for client in (fast, declared)]
            assert answers[0] == answers[1], (path, sent)
            statuses[answers[0][0]] = statuses.get(answers[0][0], 0) + 1
    assert set(statuses) == {200, 400, 422}
    assert min(statuses.values()) > BODIES / 50


async def answer(
    client: aiohttp.ClientSession, path: str, sent: bytes, headers: dict[str, str]
) -> tuple[Any, ...]:
    async with client.post(path, data=sent, headers=headers) as response:
        kept = {name: value for name, value in response.headers.items() if name not in ("Date", "Server")}
        return response.status, kept, await response.read()


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
    seen: list[float] = []

    async def slowly(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        body = await request.read()
        seen.extend(wire.unpack(body)[::4])
        await asyncio.sleep(0.1)
        return model_server.answer("ride_duration", body)

    model_server.respond = slowly
    async with gateway(settings_for(model_server)) as client:
        first = asyncio.create_task(post(client, {**RIDE, "PULocationID": 1}))
        await asyncio.sleep(0.03)
        second = asyncio.create_task(post(client, {**RIDE, "PULocationID": 2}))
        third = asyncio.create_task(post(client, {**RIDE, "PULocationID": 3}))
        await asyncio.sleep(0.03)
        second.cancel()
        assert [await first, await third] == [0.5, 1.5]
    assert 2.0 not in seen


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
