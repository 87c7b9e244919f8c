"""The express lane: a lone call is scored at once, several go to BentoML's batchable API together."""

import asyncio
from typing import Any

import numpy as np
import pytest
from starlette.types import Message, Receive, Scope, Send

from sepal.contracts import wire
from sepal.contracts.iris import contract as iris
from sepal.model_server.express_lane import ExpressLane

ROWS = np.random.default_rng(6).uniform(0.1, 9, (3, 4))
HEADERS = [
    (b"content-type", wire.MEDIA_TYPE.encode()),
    (wire.CONTRACT_HEADER.lower().encode(), iris.signature.encode()),
]


class Place:
    """An express lane before an application that counts what reaches it."""

    def __init__(self) -> None:
        self.passed: list[bytes] = []
        self.scored = 0
        self.breaks = False
        self.pause = 0.001
        self.lane = ExpressLane(self.app, [iris], self.score, lambda _model: {1: "log_reg_1"})

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        self.passed.append(body)
        await asyncio.sleep(self.pause)
        await send({"type": "http.response.start", "status": 299, "headers": []})

    def score(self, model: str, rows: Any) -> Any:  # noqa: ANN401
        assert model == "iris"
        if self.breaks:
            raise RuntimeError
        self.scored += 1
        return np.column_stack((np.ones(len(rows)), np.zeros((len(rows), 4))))

    async def call(
        self, *pieces: bytes, headers: list[tuple[bytes, bytes]] = HEADERS, path: str = "/iris/score"
    ) -> list[Message]:
        sent: list[Message] = []
        messages = iter(
            {"type": "http.request", "body": piece, "more_body": number + 1 < len(pieces)}
            for number, piece in enumerate(pieces)
        )

        async def receive() -> Message:
            return next(messages)

        async def send(message: Message) -> None:
            sent.append(message)

        await self.lane({"type": "http", "path": path, "headers": headers}, receive, send)
        return sent


async def test_a_lone_call_is_scored_here() -> None:
    place = Place()
    start, body = await place.call(ROWS.tobytes())
    assert start["status"] == 200
    assert dict(start["headers"])[wire.VERSIONS_HEADER.lower().encode()] == b'{"1": "log_reg_1"}'
    assert len(body["body"]) == 3 * iris.answer_width * wire.ITEM_BYTES
    assert (place.scored, place.passed) == (1, [])


async def test_calls_that_arrive_together_go_on_to_be_batched() -> None:
    place = Place()
    await asyncio.gather(*(place.call(ROWS.tobytes()) for _ in range(5)))
    assert (place.scored, place.passed) == (0, [ROWS.tobytes()] * 5)
    await place.call(ROWS.tobytes())
    assert place.scored == 1, "alone again"


@pytest.mark.parametrize(
    "call",
    [
        {"headers": HEADERS[:1]},
        {"headers": HEADERS[1:]},
        {"headers": [HEADERS[0], (HEADERS[1][0], b"another")]},
        {"path": "/readyz"},
    ],
)
async def test_anything_unusual_goes_on_untouched(call: dict[str, Any]) -> None:
    place = Place()
    [start] = await place.call(ROWS.tobytes(), **call)
    assert start["status"] == 299
    assert (place.scored, place.passed) == (0, [ROWS.tobytes()])


@pytest.mark.parametrize("body", [b"", ROWS.tobytes()[:-1], ROWS.tobytes()[:-8]])
async def test_what_is_no_matrix_goes_on_to_be_refused(body: bytes) -> None:
    place = Place()
    await place.call(body)
    assert (place.scored, place.passed) == (0, [body])


async def test_a_body_in_pieces_goes_on_whole() -> None:
    place = Place()
    await place.call(ROWS.tobytes()[:40], ROWS.tobytes()[40:])
    assert (place.scored, place.passed) == (0, [ROWS.tobytes()])


async def test_what_fails_here_goes_on_to_fail_where_it_is_told() -> None:
    place = Place()
    place.breaks = True
    [start] = await place.call(ROWS.tobytes())
    assert start["status"] == 299
    assert place.passed == [ROWS.tobytes()]


KEYED = [(b"content-type", wire.KEYED_MEDIA_TYPE.encode()), HEADERS[1]]
KEYS = np.array([0.25, np.nan, 0.75])
BODY = ROWS.tobytes() + KEYS.tobytes()


class KeyedPlace(Place):
    """The same for calls with keys."""

    def __init__(self, *, lone: bool = True) -> None:
        super().__init__()
        self.seen: list[tuple[Any, Any]] = []
        self.lane = ExpressLane(
            self.app, [iris], self.score, lambda _model: {1: "log_reg_1"}, self.score_keyed, lone=lone
        )

    def score_keyed(self, model: str, rows: Any, keys: Any) -> Any:  # noqa: ANN401
        self.seen.append((rows, keys))
        return self.score(model, rows)


@pytest.mark.parametrize("lone", [True, False])
async def test_calls_with_keys_are_scored_here_however_many_there_are(lone: bool) -> None:
    place = KeyedPlace(lone=lone)
    await asyncio.gather(*(place.call(BODY[:50], BODY[50:], headers=KEYED) for _ in range(3)))
    assert (place.scored, place.passed) == (3, [])
    rows, keys = place.seen[0]
    assert (rows == ROWS).all()
    assert np.array_equal(keys, KEYS, equal_nan=True)


async def test_without_the_express_lane_only_calls_with_keys_are_scored_here() -> None:
    place = KeyedPlace(lone=False)
    await place.call(ROWS.tobytes())
    assert (place.scored, place.passed) == (0, [ROWS.tobytes()])


@pytest.mark.parametrize("body", [b"", BODY[:-8], BODY[:-1]])
async def test_what_is_no_matrix_with_keys_goes_on_to_be_refused(body: bytes) -> None:
    place = KeyedPlace()
    await place.call(body, headers=KEYED)
    assert (place.scored, place.passed) == (0, [body])


async def test_calls_with_keys_that_fail_or_are_of_another_contract_go_on_to_be_told() -> None:
    place = KeyedPlace()
    place.breaks = True
    await place.call(BODY, headers=KEYED)
    await place.call(BODY, headers=[KEYED[0], (KEYED[1][0], b"another")])
    assert (place.scored, place.passed) == (0, [BODY, BODY])


async def test_a_lane_knows_whether_calls_wait() -> None:
    place = KeyedPlace()
    assert not place.lane.waiting("iris")
    calls = asyncio.gather(*(place.call(ROWS.tobytes()) for _ in range(3)))
    await asyncio.sleep(0)
    assert place.lane.waiting("iris")
    await calls
    assert not place.lane.waiting("iris")


TIME_LEFT = wire.TIME_LEFT_HEADER.lower().encode()


async def test_what_has_no_time_left_is_504_and_not_scored() -> None:
    place = Place()
    start, _ = await place.call(ROWS.tobytes(), headers=[*HEADERS, (TIME_LEFT, b"0")])
    assert (start["status"], place.scored, place.passed) == (504, 0, [])


async def test_what_waits_in_a_batch_for_longer_than_its_time_is_504() -> None:
    place = Place()
    place.pause = 1.0
    pieces = (ROWS.tobytes()[:9], ROWS.tobytes()[9:])
    start, _ = await place.call(*pieces, headers=[*HEADERS, (TIME_LEFT, b"0.05")])
    assert start["status"] == 504


@pytest.mark.parametrize("left", [b"5", b"soon"])
async def test_what_has_time_is_scored(left: bytes) -> None:
    place = Place()
    start, _ = await place.call(ROWS.tobytes(), headers=[*HEADERS, (TIME_LEFT, left)])
    assert (start["status"], place.scored) == (200, 1)


async def test_a_worker_that_is_about_to_stop_says_so_and_closes_connections_after_their_answers() -> None:
    place = Place()
    place.lane.close()
    start, _ = await place.call(ROWS.tobytes())
    assert (start["status"], dict(start["headers"])[b"connection"]) == (200, b"close")
    assert (await place.call(path="/readyz"))[0]["status"] == 503
    assert dict((await place.call(b"", path="/livez"))[0]["headers"])[b"connection"] == b"close"


async def test_rows_of_a_call_that_was_given_up_are_not_scored() -> None:
    place = Place()

    class Cycle:
        disconnected = True

        async def receive(self) -> Message:
            return {"type": "http.request", "body": ROWS.tobytes()}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await place.lane({"type": "http", "path": "/iris/score", "headers": HEADERS}, Cycle().receive, send)
    assert place.scored == 0
