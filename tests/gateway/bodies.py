"""Bodies of predictions, most of them good, and how both routes answer them."""

import json
import random
from typing import Any

import aiohttp

from tests.gateway.conftest import IRIS, RIDE, FakeModelServer, gateway, settings_for
from tests.waiting import LONG

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


async def answered_alike(model_server: FakeModelServer, bodies: int) -> None:
    """Asserts that the fast route and the declared one answer so many bodies alike, byte for byte."""
    draw = random.Random(7)  # noqa: S311
    statuses: dict[int, int] = {}
    async with (
        gateway(settings_for(model_server, fast_route="on", request_timeout=LONG)) as fast,
        gateway(settings_for(model_server, fast_route="off", request_timeout=LONG)) as declared,
    ):
        for number in range(bodies):
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
    assert min(statuses.values()) > bodies / 50


async def answer(
    client: aiohttp.ClientSession, path: str, sent: bytes, headers: dict[str, str]
) -> tuple[Any, ...]:
    async with client.post(path, data=sent, headers=headers) as response:
        kept = {name: value for name, value in response.headers.items() if name not in ("Date", "Server")}
        return response.status, kept, await response.read()
