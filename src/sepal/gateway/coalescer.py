"""Puts the rows of concurrent requests into one upstream call, without a timer.

Rows that arrive while as many calls are under way as may be wait, and go together
into the next; a lone row goes at once. So the batch grows with the load by itself.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import nan
from typing import Protocol

from sepal.contracts import wire
from sepal.errors import ClientGoneError, ModelServerTimeoutError, OverloadedError
from sepal.gateway.answers import Answers, joined
from sepal.gateway.request_context import CallContext, RequestContext, current_request
from sepal.telemetry.correlation import CURRENT


class Send(Protocol):
    """One upstream call."""

    def __call__(self, rows: bytes, keys: bytes = ...) -> Awaitable[Answers]:
        """Encoded rows, with a key for each or none at all, to their answers, or an exception."""


Gone = Callable[[], bool]
"""Whether the client that asked has hung up."""

_SHARES = 4
"""While others wait, one request takes at most this part of a call's rows in its turn."""

_TOO_LATE = "The model server did not answer in time. Try again, with fewer rows."


@dataclass(slots=True, eq=False)
class _Request:
    """The rows of one caller, and how far they have come. Without a future nobody waits for them."""

    rows: bytes
    n_rows: int
    deadline: float
    future: "asyncio.Future[Answers] | None"
    gone: Gone
    key: float | None = None
    context: RequestContext = field(default_factory=current_request)
    taken: int = 0
    missing: int = 0
    parts: dict[int, Answers] = field(default_factory=dict)

    def finish(self, outcome: Answers | Exception) -> None:
        """Give the caller its answers or its error, if it still waits."""
        if self.future is None or self.future.done():
            return
        if isinstance(outcome, Answers):
            self.future.set_result(outcome)
        else:
            self.future.set_exception(outcome)

    def deliver(self, start: int, n_rows: int, answers: Answers) -> None:
        """Take the answers to some of the rows; with the last of them the caller has all."""
        if self.future is None:
            return
        self.missing -= n_rows
        if n_rows == self.n_rows:
            self.finish(answers)
            return
        self.parts[start] = answers
        if not self.missing:
            self.finish(joined(self.parts[start] for start in sorted(self.parts)))

    def release(self) -> None:
        """Let go of all that is large: it may stand in line until those before it are done."""
        self.taken = self.n_rows
        self.rows = b""
        self.parts.clear()
        self.future = None


@dataclass(frozen=True, slots=True)
class _Slice:
    """The rows of a request that go into one call."""

    request: _Request
    start: int
    n_rows: int


class Coalescer:
    """The rows of one model on their way upstream.

    At most `max_waiting` rows wait, `max_rows` go into a call, and `calls` are under way;
    after `timeout` seconds a caller gets a ModelServerTimeoutError wherever its rows are.
    """

    def __init__(
        self,
        send: Send,
        *,
        row_bytes: int,
        answer_width: int,
        max_rows: int,
        max_waiting: int,
        calls: int,
        timeout: float,
    ) -> None:
        self._send = send
        self._row_bytes = row_bytes
        self._answer_width = answer_width
        self._max_rows = max_rows
        self._share = max(1, max_rows // _SHARES)
        self._max_waiting = max_waiting
        self._calls = calls
        self._timeout = timeout
        self._queue: deque[_Request] = deque()
        self._waiting = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._by_deadline: deque[_Request] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Rows that wait for a call."""
        return self._waiting

    async def score(self, rows: bytes, gone: Gone = lambda: False, key: float | None = None) -> Answers:
        """The answers to encoded rows, in their order; `key` goes with each of them.

        Rows of a caller that was cancelled are not sent, nor, with a ClientGoneError, those
        whose client has `gone`. Raises OverloadedError at once if too many rows wait,
        ModelServerTimeoutError at the deadline, and whatever the call that held the rows
        raised.
        """
        n_rows = len(rows) // self._row_bytes
        if self._waiting + n_rows > self._max_waiting:
            raise OverloadedError("Too many rows wait for the model server. Try again shortly.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answers] = loop.create_future()
        request = _Request(rows, n_rows, loop.time() + self._timeout, future, gone, key, missing=n_rows)
        self._queue.append(request)
        self._waiting += n_rows
        self._watch(request, loop)
        if len(self._under_way) < self._calls:
            self._start_call()
        try:
            return await future
        finally:
            self._waiting -= request.n_rows - request.taken
            request.release()
            while self._by_deadline and self._by_deadline[0].future is None:
                self._by_deadline.popleft()

    def _start_call(self) -> None:
        slices = self._next_slices()
        if slices:
            size = self._row_bytes
            body = b"".join([s.request.rows[s.start * size : (s.start + s.n_rows) * size] for s in slices])
            task = asyncio.create_task(self._call(slices, body, _keys(slices)))
            self._under_way.add(task)
            task.add_done_callback(self._call_ended)

    def _call_ended(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if self._queue:
            self._start_call()

    def _next_slices(self) -> list[_Slice]:
        """Rows for one call, first come first served, but in turns where requests are large."""
        slices = []
        room = self._max_rows
        while room and self._queue:
            request = self._queue.popleft()
            left = request.n_rows - request.taken
            if not left:
                continue  # its caller was cancelled
            if request.gone():
                request.finish(ClientGoneError("The client has gone."))
                continue
            n_rows = min(left, room, self._share if self._queue else room)
            slices.append(_Slice(request, request.taken, n_rows))
            request.taken += n_rows
            self._waiting -= n_rows
            room -= n_rows
            if left > n_rows:
                self._queue.append(request)
        return slices

    async def _call(self, slices: list[_Slice], body: bytes, keys: bytes) -> None:
        contexts = [part.request.context for part in slices]
        CURRENT.set(CallContext(contexts))
        sent = time.perf_counter()
        for context in contexts:
            context.sent = context.sent or sent
        try:
            answers = await (self._send(body, keys) if keys else self._send(body))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is the callers')
            for part in slices:
                part.request.finish(error)
            return
        finally:
            answered = time.perf_counter()
            for context in contexts:
                context.answered = answered
        at = 0
        for part in slices:
            stop = at + part.n_rows * self._answer_width
            own = Answers(answers.numbers[at:stop], answers.versions)
            part.request.deliver(part.start, part.n_rows, own)
            at = stop

    def _watch(self, request: _Request, loop: asyncio.AbstractEventLoop) -> None:
        """All wait equally long, so that one alarm, for the first of them, does for all."""
        self._by_deadline.append(request)
        if self._alarm is None:
            self._alarm = loop.call_at(request.deadline, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alarm = None
        while self._by_deadline:
            first = self._by_deadline[0]
            if first.future is not None and first.deadline > loop.time():
                self._alarm = loop.call_at(first.deadline, self._expire, loop)
                return
            first.finish(ModelServerTimeoutError(_TOO_LATE))
            self._by_deadline.popleft()


def _keys(slices: list[_Slice]) -> bytes:
    """The key of each row, as the wire has it; nothing if no row has one."""
    if all(part.request.key is None for part in slices):
        return b""
    return b"".join([keys_of(part.request.key, part.n_rows) for part in slices])


def keys_of(key: float | None, n_rows: int) -> bytes:
    """One key for so many rows; NaN stands for none."""
    return wire.pack([nan if key is None else key]) * n_rows
