"""One request from its first attempt to its answer, as steps that a client carries out.

A generator says what to do next, send or wait, and is told what came of it. So all
decisions are here, once for the sync client and the async one, and are tested without
a network.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from sepal.client.problems import error_of
from sepal.client.retries import Budget, Retries, chance, retry_after
from sepal.errors import ServiceAwayError, ServiceError, ServiceTooSlowError

logger = logging.getLogger("sepal.client")

DEADLINE_HEADER = "X-Request-Deadline"
"""Of a request: the seconds that its client will wait for the answer, after which nobody reads it."""

_PASSING = (429, 503)


@dataclass(frozen=True)
class Deadline:
    """The end of a client's patience."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    begun: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "begun", self.clock())

    @property
    def left(self) -> float:
        """Seconds."""
        return self.begun + self.seconds - self.clock()

    def check(self) -> None:
        """Raise ServiceTooSlowError once it is over."""
        if self.left <= 0:
            raise ServiceTooSlowError(
                f"The service gave no answer within {self.seconds:g} s. Give it more time, or fewer rows."
            )

    def watch(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """An answer as it comes in, as long as there is time."""
        for chunk in chunks:
            self.check()
            yield chunk


@dataclass(frozen=True)
class Request:
    """What is sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True)
class Send:
    """Step: send it, and wait for the answer until the deadline."""

    request: Request
    headers: Mapping[str, str]
    deadline: Deadline


@dataclass(frozen=True)
class Wait:
    """Step: wait so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Reply:
    """The service's answer, good or bad; the names of `headers` in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Lost:
    """No answer: the connection could not be made, or broke. `again` tells whether it may work later."""

    why: str
    again: bool = True


T = TypeVar("T")

Course: TypeAlias = Generator[Send | Wait, Reply | Lost | None, T]
"""Steps that end with what was asked for, or with a ServiceError."""

Steps: TypeAlias = Course[bytes]
"""The steps of one request, which end with the body of the good answer."""


def exchange(
    request: Request,
    deadline: Deadline,
    retries: Retries,
    budget: Budget,
    chance: Callable[[], float] = chance,
) -> Steps:
    """The steps of one request."""
    failures = 0
    while True:
        deadline.check()
        headers = {**request.headers, DEADLINE_HEADER: f"{min(max(deadline.left, 0.001), 86_400):.3f}"}
        outcome = yield Send(request, headers, deadline)
        if isinstance(outcome, Reply) and 200 <= outcome.status < 300:
            budget.earn()
            return outcome.body
        deadline.check()
        failures += 1
        error, asked = _judge(outcome)
        if asked is None:
            raise error
        pause = retries.pause(failures, asked, chance)
        why = _why_not(failures, pause, deadline, retries, budget)
        if why is not None:
            raise ServiceAwayError(f"{error} {why}".rstrip(), error.problem) from error
        logger.info("trying again in %.2f s: %s", pause, error)
        yield Wait(pause)


def _judge(outcome: Reply | Lost | None) -> tuple[ServiceError, float | None]:
    """The error that an outcome is, and the least seconds until another attempt; None for none."""
    if isinstance(outcome, Reply):
        error = error_of(outcome.status, outcome.body)
        if outcome.status not in _PASSING:
            return error, None
        return error, retry_after(outcome.headers.get("retry-after"), time.time())
    assert isinstance(outcome, Lost)  # noqa: S101 (what a Send is answered with)
    if outcome.again:
        return ServiceAwayError(f"The service can't be reached: {outcome.why}."), 0
    return ServiceError(f"The service can't be reached: {outcome.why}."), None


def _why_not(
    failures: int, pause: float, deadline: Deadline, retries: Retries, budget: Budget
) -> str | None:
    """Why it is not tried again; None if it is."""
    if failures >= retries.attempts:
        return f"So it was {failures} times." if failures > 1 else ""
    if pause >= deadline.left:
        return f"The next attempt would be in {pause:.1f} s, later than the deadline."
    if not budget.spend():
        return "It is not tried again: too many requests of this client fail."
    return None
