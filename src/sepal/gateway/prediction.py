"""Prediction without a protocol: rows of a contract in, answers out."""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from sepal.contracts import Contract, Features, wire
from sepal.gateway.answers import Answers, joined
from sepal.gateway.coalescer import Coalescer, Send
from sepal.gateway.metrics import AnswerCounter, GatewayMetrics
from sepal.gateway.request_context import current_request
from sepal.gateway.upstream import ModelServer
from sepal.gateway.waiting import Gone, keys_of
from sepal.settings import Settings


class Score(Protocol):
    """From encoded rows of one model to their answers."""

    def __call__(
        self, rows: bytes, gone: Gone = ..., key: float | None = ..., deadline: float | None = ...
    ) -> Awaitable[Answers]:
        """Score them, unless the client has gone before they are sent; a canary goes by the key.

        The deadline is in monotonic seconds; without one the settings' own holds.
        """


Admit = Callable[[float], None]
"""Raises UpstreamError or OverloadedError if a row has no chance to be answered in so many seconds."""


class Predictor:
    """Predicts with one model: encodes rows and sends them upstream, together with others' or alone."""

    def __init__(self, contract: Contract, score: Score, admit: Admit, metrics: GatewayMetrics) -> None:
        self.contract = contract
        self.admit = admit
        self._score = score
        self._count = AnswerCounter(metrics, contract).count

    async def predict(
        self,
        rows: Sequence[Features],
        gone: Gone = lambda: False,
        key: float | None = None,
        deadline: float | None = None,
    ) -> Answers:
        """The answers to validated rows, in order; UpstreamError or OverloadedError if there are none.

        Rows that still wait when the client has `gone` are not sent: ClientGoneError. By the
        `key`, a number in [0, 1), a canary knows the requests of one user. The `deadline` is
        in monotonic seconds; without one it is the settings' own.
        """
        request = current_request()
        request.model, request.validated = self.contract.name, time.perf_counter()
        answers = await self._score(self.contract.encode(rows), gone, key, deadline)
        request.rows, request.version = self._count(answers)
        return answers


def prediction_path(contract: Contract, probabilities: bool) -> str:
    """Where a model's predictions are asked for."""
    return f"/{contract.name}/{'predict-proba' if probabilities else 'predict'}"


def make_predictor(
    contract: Contract, model_server: ModelServer, settings: Settings, metrics: GatewayMetrics
) -> Predictor:
    """The predictor that the settings ask for."""
    send = partial(model_server.score, contract)
    row_bytes = len(contract.columns) * wire.ITEM_BYTES
    if settings.coalesce == "off":
        in_calls = partial(_in_calls, send, row_bytes, settings.max_call_rows, settings.request_timeout)
        return Predictor(contract, in_calls, lambda _patience: model_server.breaker.check(), metrics)
    coalescer = Coalescer(
        send,
        row_bytes=row_bytes,
        answer_width=contract.answer_width,
        max_rows=settings.max_call_rows,
        max_waiting=settings.max_waiting_rows,
        calls=settings.concurrent_calls,
        timeout=settings.request_timeout,
    )
    metrics.waiting[contract.name] = lambda: coalescer.waiting

    def admit(patience: float) -> None:
        model_server.breaker.check()
        coalescer.admit_early(patience)

    return Predictor(contract, coalescer.score, admit, metrics)


async def _in_calls(
    send: Send,
    row_bytes: int,
    max_rows: int,
    longest: float,
    rows: bytes,
    gone: Gone = lambda: False,
    key: float | None = None,
    deadline: float | None = None,
) -> Answers:
    """The plain way: a request's rows in calls of their own, one after the other."""
    del gone  # they do not wait
    request = current_request()
    request.sent = time.perf_counter()
    until = time.monotonic() + longest if deadline is None else deadline
    calls = [rows[at : at + row_bytes * max_rows] for at in range(0, len(rows), row_bytes * max_rows)]
    try:
        parts = [
            await send(call, b"" if key is None else keys_of(key, len(call) // row_bytes), until)
            for call in calls
        ]
    finally:
        request.answered = time.perf_counter()
    return joined(parts) if len(parts) > 1 else parts[0]
