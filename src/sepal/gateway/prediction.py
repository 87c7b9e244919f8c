"""Prediction without a protocol: rows of a contract in, answers out."""

from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Protocol

from sepal.contracts import Contract, Features, wire
from sepal.gateway.answers import Answers, joined
from sepal.gateway.coalescer import Coalescer, Gone, Send
from sepal.gateway.upstream import ModelServer
from sepal.settings import Settings


class Score(Protocol):
    """From encoded rows of one model to their answers."""

    def __call__(self, rows: bytes, gone: Gone = ...) -> Awaitable[Answers]:
        """Score them, unless the client has gone before they are sent."""


class Predictor:
    """Predicts with one model: encodes rows and sends them upstream, together with others' or alone."""

    def __init__(self, contract: Contract, score: Score) -> None:
        self.contract = contract
        self._score = score

    async def predict(self, rows: Sequence[Features], gone: Gone = lambda: False) -> Answers:
        """The answers to validated rows, in order; UpstreamError or OverloadedError if there are none.

        Rows that still wait when the client has `gone` are not sent: ClientGoneError.
        """
        return await self._score(self.contract.encode(rows), gone)


def prediction_path(contract: Contract, probabilities: bool) -> str:
    """Where a model's predictions are asked for."""
    return f"/{contract.name}/{'predict-proba' if probabilities else 'predict'}"


def make_predictor(contract: Contract, model_server: ModelServer, settings: Settings) -> Predictor:
    """The predictor that the settings ask for."""
    send = partial(model_server.score, contract)
    row_bytes = len(contract.columns) * wire.ITEM_BYTES
    if settings.coalesce == "off":
        return Predictor(contract, partial(_in_calls, send, row_bytes * settings.max_call_rows))
    coalescer = Coalescer(
        send,
        row_bytes=row_bytes,
        answer_width=contract.answer_width,
        max_rows=settings.max_call_rows,
        max_waiting=settings.max_waiting_rows,
        calls=settings.concurrent_calls,
        timeout=settings.request_timeout,
    )
    return Predictor(contract, coalescer.score)


async def _in_calls(send: Send, call_bytes: int, rows: bytes, gone: Gone = lambda: False) -> Answers:
    """The plain way: a request's rows in calls of their own, one after the other."""
    del gone  # they do not wait
    parts = [await send(rows[at : at + call_bytes]) for at in range(0, len(rows), call_bytes)]
    return joined(parts) if len(parts) > 1 else parts[0]
