"""What the coalescer knows of each caller that waits: its rows, how far they have come, its deadline."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import nan

from sepal.contracts import wire
from sepal.errors import ModelServerTimeoutError
from sepal.gateway.answers import Answers, joined
from sepal.gateway.request_context import RequestContext, current_request
from sepal.gateway.upstream import TOO_LATE

Gone = Callable[[], bool]
"""Whether the client that asked has hung up."""


@dataclass(slots=True, eq=False)
class Request:
    """The rows of one caller, and how far they have come. Without a future nobody waits for them."""

    rows: bytes
    n_rows: int
    since: float
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
class Slice:
    """The rows of a request that go into one call."""

    request: Request
    start: int
    n_rows: int


class Deadlines:
    """Ends the wait of each request at its own deadline, with one alarm for the first of them."""

    def __init__(self) -> None:
        self._first: list[tuple[float, int, Request]] = []
        self._numbers = count()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0

    def __len__(self) -> int:
        return len(self._first)

    @property
    def first(self) -> float:
        """The first of them, in monotonic seconds; infinity if there is none."""
        return self._first[0][0] if self._first else float("inf")

    def watch(self, request: Request, now: float, loop: asyncio.AbstractEventLoop) -> None:
        """Take a request, at the monotonic time `now`."""
        heappush(self._first, (request.deadline, next(self._numbers), request))
        if self._alarm is None or request.deadline < self._alarm_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._set_alarm(request.deadline, now, loop)

    def forget_released(self) -> None:
        """Let go of the first ones as far as nobody waits for them any more."""
        while self._first and self._first[0][2].future is None:
            heappop(self._first)

    def _set_alarm(self, at: float, now: float, loop: asyncio.AbstractEventLoop) -> None:
        self._alarm_at = at
        self._alarm = loop.call_later(max(at - now, 0.0), self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alarm = None
        now = time.monotonic()
        while self._first:
            deadline, _, first = self._first[0]
            if first.future is not None and deadline > now:
                self._set_alarm(deadline, now, loop)
                return
            first.finish(ModelServerTimeoutError(TOO_LATE))
            heappop(self._first)


def keys_of_slices(slices: list[Slice]) -> bytes:
    """The key of each row, as the wire has it; nothing if no row has one."""
    if all(part.request.key is None for part in slices):
        return b""
    return b"".join([keys_of(part.request.key, part.n_rows) for part in slices])


def keys_of(key: float | None, n_rows: int) -> bytes:
    """One key for so many rows; NaN stands for none."""
    return wire.pack([nan if key is None else key]) * n_rows
