"""A shorter way through the model server for a call that is alone.

BentoML's dispatcher is made to wait for company: every call passes a queue, a condition
and a task of its own, and its polling costs a millisecond at times. Before that come
middlewares for tracing and time-outs, half a millisecond together. A call that is the
only one of its model gains nothing there, and is scored right here. As soon as there
are several, they go on to BentoML's batchable API, which makes batches of them.

A call whose rows have keys is scored here in any case: a batch has no place for keys.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from sepal.asgi import replay
from sepal.contracts import Contract, wire
from sepal.model_server.descriptors import answers_headers, keyed_rows_of, rows_of
from sepal.model_server.time_left import closing, say, time_left, within
from sepal.scoring.matrix import Matrix


@dataclass(slots=True)
class _Lane:
    """One model's."""

    contract: Contract
    content_type: tuple[bytes, bytes]
    signature: tuple[bytes, bytes]
    calls: int = 0
    """How many are in this worker now, on either way."""


_KEYED = (b"content-type", wire.KEYED_MEDIA_TYPE.encode())


class ExpressLane:
    """ASGI application that scores a lone, sound call itself and hands all others on.

    With `lone` False it does so for calls with keys only.
    """

    def __init__(
        self,
        app: ASGIApp,
        contracts: Iterable[Contract],
        score: Callable[[str, Matrix], Matrix],
        version_names: Callable[[str], dict[int, str]],
        score_keyed: Callable[[str, Matrix, Matrix], Matrix] | None = None,
        *,
        lone: bool = True,
    ) -> None:
        self._app = app
        self._score = score
        self._score_keyed = score_keyed
        self._lone = 1 if lone else 0
        self._closing = False
        self._version_names = version_names
        self._lanes = {
            f"/{contract.name}/score": _Lane(
                contract,
                (b"content-type", wire.MEDIA_TYPE.encode()),
                (wire.CONTRACT_HEADER.lower().encode(), contract.signature.encode()),
            )
            for contract in contracts
        }

    def close(self) -> None:
        """Have each connection closed after its next answer, and say that this worker is not ready."""
        self._closing = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, or the application's life."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._closing:
            send = closing(send)
            if scope["path"] == "/readyz":
                await say(send, 503, b"stopping")
                return
        lane = self._lanes.get(scope["path"])
        if lane is None:
            await self._app(scope, receive, send)
            return
        left = time_left(scope)
        if left is None:
            await self._pass(lane, scope, receive, send)
        else:
            await within(left, partial(self._pass, lane, scope, receive), send)

    async def _pass(self, lane: _Lane, scope: Scope, receive: Receive, send: Send) -> None:
        lane.calls += 1
        try:
            if lane.calls == self._lone:
                await self._answer(lane, scope, receive, send)
            elif _KEYED in scope["headers"]:
                await self._answer_keyed(lane, scope, receive, send)
            else:
                await self._app(scope, receive, send)
        finally:
            lane.calls -= 1

    async def _answer(self, lane: _Lane, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        if lane.content_type not in headers or lane.signature not in headers:
            if _KEYED in headers:
                await self._answer_keyed(lane, scope, receive, send)
            else:
                await self._app(scope, receive, send)
            return
        message = await receive()
        rows = None if message.get("more_body") else rows_of(lane.contract, message.get("body", b""))
        if rows is not None:
            await asyncio.sleep(0)  # let those come in that have arrived together with it
            if getattr(getattr(receive, "__self__", None), "disconnected", False):
                return  # who asked has given up
            answers = self._answers(lane, rows) if lane.calls == 1 else None
            if answers is not None:
                await _send(send, answers, self._version_names(lane.contract.name))
                return
        await self._app(scope, replay([message], receive), send)

    async def _answer_keyed(self, lane: _Lane, scope: Scope, receive: Receive, send: Send) -> None:
        """Score a call with keys; what is wrong with one is met again on BentoML's way, and told."""
        body, more = b"", self._score_keyed is not None and lane.signature in scope["headers"]
        if not more:
            await self._app(scope, receive, send)
            return
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # who asked has hung up
            body, more = body + message.get("body", b""), message.get("more_body", False)
        keyed = keyed_rows_of(lane.contract, body)
        answers = None
        if keyed is not None and self._score_keyed is not None:
            with suppress(Exception):
                answers = self._score_keyed(lane.contract.name, *keyed)
        if answers is not None:
            await _send(send, answers, self._version_names(lane.contract.name))
            return
        await self._app(scope, replay([{"type": "http.request", "body": body}], receive), send)

    def waiting(self, model: str) -> bool:
        """Whether calls of a model wait in this worker."""
        return self._lanes[f"/{model}/score"].calls > 1

    def _answers(self, lane: _Lane, rows: Matrix) -> Matrix | None:
        try:
            return self._score(lane.contract.name, rows)
        except Exception:  # noqa: BLE001 (on BentoML's way it is met again, and told)
            return None


async def _send(send: Send, answers: Matrix, names: dict[int, str]) -> None:
    body = answers.tobytes()
    headers = [(name.lower().encode(), value.encode()) for name, value in answers_headers(answers, names)]
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
