"""Retries, their budget and the deadline, without a network: the steps of one request."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from sepal.client.exchange import DEADLINE_HEADER, Deadline, Lost, Reply, Request, Send, Wait, exchange
from sepal.client.retries import Budget, Retries, retry_after
from sepal.errors import (
    AccessDeniedError,
    ModelNotServedError,
    RequestRefusedError,
    ServiceAwayError,
    ServiceError,
    ServiceTooSlowError,
    TooLargeError,
)

REQUEST = Request("POST", "/iris/predict", {"X-API-Key": "k"}, b"{}")
GOOD = Reply(200, {}, b"fine")
BUSY = Reply(503, {}, b"")
BROKEN = Lost("connection reset")


class Clock:
    """Moves only when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def play(
    outcomes: Iterable[Reply | Lost],
    *,
    seconds: float = 10,
    retries: Retries = Retries(),  # noqa: B008 (frozen)
    budget: Budget | None = None,
    takes: float = 0,
) -> tuple[bytes | ServiceError, list[float], list[Send]]:
    """How a request ends whose attempts of `takes` seconds come out so; its pauses; what it sent."""
    clock = Clock()
    steps = exchange(
        REQUEST, Deadline(seconds, clock), retries, budget or Budget(retries), chance=lambda: 0.5
    )
    outcomes, pauses, sent, outcome = iter(outcomes), [], [], None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, Wait):
                pauses.append(step.seconds)
                clock.now += step.seconds
                outcome = None
            else:
                sent.append(step)
                clock.now += takes
                outcome = next(outcomes)
    except StopIteration as end:
        return end.value, pauses, sent
    except ServiceError as error:
        return error, pauses, sent


def problem(status: int) -> Reply:
    document = {"title": "T", "status": status, "detail": "Such and such.", "request_id": "r-1"}
    return Reply(status, {}, json.dumps(document).encode())


@pytest.mark.parametrize("passing", [BUSY, Reply(429, {}, b""), BROKEN])
def test_what_may_pass_is_tried_again_with_growing_pauses(passing: Reply | Lost) -> None:
    end, pauses, sent = play([passing, passing, passing, GOOD])
    assert end == b"fine"
    assert pauses == [0.05, 0.1, 0.2]
    assert len(sent) == 4


def test_pauses_have_a_longest() -> None:
    _, pauses, _ = play([BUSY] * 8 + [GOOD], retries=Retries(attempts=9, longest_pause=1))
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5]


def test_after_the_last_attempt_it_is_an_error() -> None:
    end, _, sent = play([BUSY] * 9)
    assert isinstance(end, ServiceAwayError)
    assert str(end).endswith("So it was 4 times.")
    assert len(sent) == 4


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestRefusedError),
        (401, AccessDeniedError),
        (403, AccessDeniedError),
        (404, ModelNotServedError),
        (413, TooLargeError),
        (422, RequestRefusedError),
        (500, ServiceError),
        (504, ServiceTooSlowError),
    ],
)
def test_what_will_not_pass_is_an_error_at_once(status: int, error: type[ServiceError]) -> None:
    end, pauses, sent = play([problem(status)])
    assert type(end) is error
    assert str(end) == f"{status} T: Such and such (request r-1)."
    assert end.request_id == "r-1"
    assert (pauses, len(sent)) == ([], 1)


def test_a_connection_that_can_not_come_about_is_not_tried_again() -> None:
    end, _, sent = play([Lost("wrong certificate", again=False)])
    assert str(end) == "The service can't be reached: wrong certificate."
    assert len(sent) == 1


def test_an_error_that_is_no_problem_document_is_told_by_its_status() -> None:
    end, _, _ = play([Reply(502, {}, b"<html>")])
    assert "502 Bad Gateway, with no problem document" in str(end)


def test_retry_after_is_the_least_pause() -> None:
    end, pauses, _ = play([Reply(429, {"retry-after": "2"}, b""), GOOD])
    assert end == b"fine"
    assert pauses == [2.05]


def test_a_retry_after_past_the_deadline_ends_it_at_once() -> None:
    end, pauses, _ = play([Reply(503, {"retry-after": "20"}, b"")])
    assert isinstance(end, ServiceAwayError)
    assert str(end).endswith("The next attempt would be in 20.1 s, later than the deadline.")
    assert pauses == []


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, 0), ("", 0), ("3", 3), ("soon", 0), ("-1", 0), ("2.5", 0)]
)
def test_retry_after_in_seconds(value: str | None, seconds: float) -> None:
    assert retry_after(value, now=0) == seconds


def test_retry_after_as_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after(format_datetime(now + timedelta(seconds=7), usegmt=True), now.timestamp()) == 7
    assert retry_after(format_datetime(now - timedelta(seconds=7), usegmt=True), now.timestamp()) == 0


def test_each_attempt_says_how_long_its_answer_is_waited_for() -> None:
    _, _, sent = play([BUSY, GOOD], seconds=3, takes=0.5)
    assert [step.headers[DEADLINE_HEADER] for step in sent] == ["3.000", "2.450"]
    assert all(step.headers["X-API-Key"] == "k" for step in sent)


def test_the_deadline_ends_a_request_that_fails_again_and_again() -> None:
    end, _, sent = play([BUSY] * 9, seconds=1, takes=0.4)
    assert isinstance(end, ServiceTooSlowError)
    assert "no answer within 1 s" in str(end)
    assert len(sent) == 3


def test_retries_can_be_switched_off() -> None:
    end, pauses, sent = play([BROKEN, GOOD], retries=Retries(attempts=1))
    assert str(end) == "The service can't be reached: connection reset."
    assert (pauses, len(sent)) == ([], 1)


def test_retries_are_a_share_of_all_requests_at_most() -> None:
    retries = Retries(share=0.1, reserve=3)
    budget = Budget(retries)
    sent = 0
    for _ in range(100):  # half of the attempts fail
        _, _, steps = play([BUSY, GOOD], retries=retries, budget=budget)
        sent += len(steps)
    assert sent <= 100 + 3 + 10
    end, _, _ = play([BUSY, GOOD], retries=retries, budget=budget)
    assert str(end).endswith("too many requests of this client fail.")
