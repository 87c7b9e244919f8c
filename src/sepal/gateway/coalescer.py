"""Puts the rows of concurrent requests into one upstream call, without a timer.

Rows that arrive while as many calls are under way as may be wait, and go together
into the next; a lone row goes at once. So the batch grows with the load by itself.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable
from typing import Protocol

from sepal.errors import ClientGoneError, ModelServerTimeoutError, OverloadedError
from sepal.gateway.answers import Answers
from sepal.gateway.pace import Pace
from sepal.gateway.request_context import CallContext
from sepal.gateway.waiting import Deadlines, Gone, Request, Slice, keys_of_slices
from sepal.telemetry.correlation import CURRENT


class Send(Protocol):
    """One upstream call."""

    def __call__(self, rows: bytes, keys: bytes = ..., deadline: float | None = ...) -> Awaitable[Answers]:
        """Encoded rows, with a key for each or none at all, to their answers, or an exception.

        After the deadline, in monotonic seconds, nobody waits for them any more.
        """


_SHARES = 4
"""While others wait, one request takes at most this part of a call's rows in its turn."""


_MARGIN = 1.2
"""An answer is expected to take so much longer than the last calls tell."""

_NOT_IN_TIME = (
    "More waits for the model server than it can answer in the time that you give. Try again shortly."
)


class Coalescer:
    """The rows of one model on their way upstream.

    At most `max_waiting` rows wait, `max_rows` go into a call, and `calls` are under way.
    At its deadline a caller gets a ModelServerTimeoutError wherever its rows are; if it names
    none, that is after `timeout` seconds.
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
        self._queue: deque[Request] = deque()
        self._waiting = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._pace = Pace()
        self._last_sent = self._last_ends = 0.0
        self._refused_last = False
        self._deadlines = Deadlines()

    @property
    def waiting(self) -> int:
        """Rows that wait for a call."""
        return self._waiting

    def expected(self, n_rows: int, now: float) -> float:
        """Seconds until so many further rows would be answered, as far as the last calls tell."""
        if len(self._under_way) < self._calls:
            return 0.0  # they go at once, and that is how a change for the better is noticed
        rows, most, expect = self._waiting + n_rows, self._max_rows, self._pace.expect
        ahead = expect(rows) if rows <= most else rows // most * expect(most) + expect(rows % most)
        left = self._last_ends - now
        return (ahead + (left if left > 0 else now - self._last_sent)) / self._calls

    def admit(self, n_rows: int, patience: float, now: float) -> None:
        """Raise OverloadedError if so many rows could not be answered in so many seconds."""
        # All that wait go together, so that who comes last makes the first wait longer: as long as that
        # one has waited already, the newcomer has less time.
        waited = now - self._queue[0].since if self._queue else 0.0
        late = waited + self.expected(n_rows, now) * _MARGIN - patience
        self._refused_last = late > 0
        if self._refused_last:
            raise OverloadedError(_NOT_IN_TIME, retry_after=late)

    def admit_early(self, patience: float) -> None:
        """As `admit` for one row that is not there yet; costs nothing while there is room."""
        if self._refused_last:
            self.admit(1, patience, time.monotonic())

    async def score(
        self,
        rows: bytes,
        gone: Gone = lambda: False,
        key: float | None = None,
        deadline: float | None = None,
    ) -> Answers:
        """The answers to encoded rows, in their order; `key` goes with each of them.

        Rows of a caller that was cancelled are not sent, nor, with a ClientGoneError, those
        whose client has `gone`. Raises OverloadedError at once if too many rows wait, or if
        the answer could not come before the deadline, which is in monotonic seconds;
        ModelServerTimeoutError at the deadline; and whatever the call that held the rows
        raised.
        """
        n_rows = len(rows) // self._row_bytes
        now = time.monotonic()
        if deadline is None:
            deadline = now + self._timeout
        if self._waiting + n_rows > self._max_waiting:
            raise OverloadedError(
                "Too many rows wait for the model server. Try again shortly.",
                retry_after=self.expected(n_rows, now),
            )
        self.admit(n_rows, deadline - now, now)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answers] = loop.create_future()
        request = Request(rows, n_rows, now, deadline, future, gone, key, missing=n_rows)
        self._queue.append(request)
        self._waiting += n_rows
        self._deadlines.watch(request, now, loop)
        if len(self._under_way) < self._calls:
            self._start_call(trial=not self._under_way)
        try:
            return await future
        finally:
            self._waiting -= request.n_rows - request.taken
            request.release()
            self._deadlines.forget_released()

    def _start_call(self, trial: bool = False) -> None:
        slices = self._next_slices(trial)
        if slices:
            size = self._row_bytes
            body = b"".join([s.request.rows[s.start * size : (s.start + s.n_rows) * size] for s in slices])
            self._last_sent = time.monotonic()
            self._last_ends = self._last_sent + self._pace.expect(len(body) // size)
            task = asyncio.create_task(self._call(slices, body, keys_of_slices(slices)))
            self._under_way.add(task)
            task.add_done_callback(self._call_ended)

    def _call_ended(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if self._queue:
            self._start_call()

    def _next_slices(self, trial: bool) -> list[Slice]:
        """Rows for one call, first come first served, but in turns where requests are large.

        Those whose time is too short are refused; but not on a `trial`, which a row is that comes
        while no call is under way. If it were refused too, no call would ever tell that they are
        quick again.
        """
        slices: list[Slice] = []
        room = self._max_rows
        now = time.monotonic()
        expect, soonest = self._pace.expect, float("inf")
        tight = now + expect(min(self._waiting, room)) * _MARGIN > self._deadlines.first
        while room and self._queue:
            request = self._queue.popleft()
            left = request.n_rows - request.taken
            if not left or request.future is None or request.future.done():
                self._waiting -= left
                request.taken = request.n_rows
                continue  # its caller was cancelled, or its deadline has passed
            if request.gone():
                request.finish(ClientGoneError("The client has gone."))
                continue
            n_rows = min(left, room, self._share if self._queue else room)
            if tight:
                if not trial and not slices and now + expect(n_rows) * _MARGIN > request.deadline:
                    request.finish(OverloadedError(_NOT_IN_TIME))
                    continue
                soonest = min(soonest, request.deadline)
                if slices and now + expect(self._max_rows - room + n_rows) * _MARGIN > soonest:
                    self._queue.appendleft(request)
                    break  # further rows would make those late that go before them
            slices.append(Slice(request, request.taken, n_rows))
            request.taken += n_rows
            self._waiting -= n_rows
            room -= n_rows
            if left > n_rows:
                self._queue.append(request)
        return slices

    async def _call(self, slices: list[Slice], body: bytes, keys: bytes) -> None:
        n_rows, started = len(body) // self._row_bytes, time.monotonic()
        contexts = [part.request.context for part in slices]
        CURRENT.set(CallContext(contexts))
        sent = time.perf_counter()
        for context in contexts:
            context.sent = context.sent or sent
        try:
            answers = await self._send(body, keys, max([part.request.deadline for part in slices]))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is the callers')
            seconds = time.monotonic() - started
            if isinstance(error, ModelServerTimeoutError) and seconds > self._pace.expect(n_rows):
                self._pace.learn(n_rows, seconds)
            for part in slices:
                part.request.finish(error)
            return
        finally:
            answered = time.perf_counter()
            for context in contexts:
                context.answered = answered
        self._pace.learn(n_rows, time.monotonic() - started)
        at = 0
        for part in slices:
            stop = at + part.n_rows * self._answer_width
            own = Answers(answers.numbers[at:stop], answers.versions)
            part.request.deliver(part.start, part.n_rows, own)
            at = stop
