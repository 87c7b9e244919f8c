"""The coalescer: every caller gets its own rows' answers in order, or its own error, within its bounds."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sepal.contracts import wire
from sepal.errors import (
    ClientGoneError,
    ModelServerTimeoutError,
    ModelServerUnavailableError,
    OverloadedError,
)
from sepal.gateway import coalescer as module
from sepal.gateway import waiting
from sepal.gateway.answers import Answers
from sepal.gateway.coalescer import Coalescer
from tests.virtual_time import in_virtual_time, now

virtual = in_virtual_time(module, waiting)

NAMES = {1.0: "echo_1"}


class Upstream:
    """Answers each row, which is one number, with that number; slow and broken as a test wants it."""

    def __init__(
        self, pause: Callable[[], float] = lambda: 0.0, fails: Callable[[], bool] = lambda: False
    ) -> None:
        self.pause = pause
        self.fails = fails
        self.calls: list[list[float]] = []
        self.deadlines: list[float | None] = []
        self.under_way = 0
        self.most_under_way = 0
        self.failed: set[float] = set()

    async def send(self, body: bytes, keys: bytes = b"", deadline: float | None = None) -> Answers:
        del keys
        self.deadlines.append(deadline)
        rows = wire.unpack(body)
        self.calls.append(rows.tolist())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.pause())
            if self.fails():
                self.failed.update(rows)
                raise ModelServerUnavailableError("broken")
        finally:
            self.under_way -= 1
        return Answers(wire.unpack(wire.pack(n for row in rows for n in (1.0, row))), NAMES)


def coalescer(upstream: Upstream, **changes: Any) -> Coalescer:  # noqa: ANN401
    values = {"max_rows": 100, "max_waiting": 1_000_000, "calls": 1, "timeout": 30.0, **changes}
    return Coalescer(upstream.send, row_bytes=8, answer_width=2, **values)


def values_of(answers: Answers) -> list[float]:
    assert set(answers.numbers[0::2]) <= {1.0}
    return answers.numbers[1::2].tolist()


@virtual
async def test_a_lone_row_goes_at_once() -> None:
    upstream = Upstream()
    assert values_of(await coalescer(upstream).score(wire.pack([5.0]))) == [5.0]
    assert upstream.calls == [[5.0]]


@virtual
async def test_what_arrives_during_a_call_goes_together_into_the_next() -> None:
    upstream = Upstream(pause=lambda: 0.01)
    together = coalescer(upstream)
    answers = await asyncio.gather(*(together.score(wire.pack([float(n)])) for n in range(50)))
    assert [values_of(answer) for answer in answers] == [[float(n)] for n in range(50)]
    assert upstream.calls == [[0.0], [float(n) for n in range(1, 50)]]


@virtual
async def test_no_more_calls_are_under_way_and_no_more_rows_in_one_than_may_be() -> None:
    upstream = Upstream(pause=lambda: 0.001)
    together = coalescer(upstream, calls=2, max_rows=10)
    await asyncio.gather(*(together.score(wire.pack([float(n)])) for n in range(200)))
    assert upstream.most_under_way == 2
    assert max(map(len, upstream.calls)) == 10


@virtual
async def test_a_large_request_is_split_and_put_together_again_in_order() -> None:
    upstream = Upstream()
    rows = [float(n) for n in range(1234)]
    assert values_of(await coalescer(upstream).score(wire.pack(rows))) == rows
    assert [len(call) for call in upstream.calls] == [100] * 12 + [34]


@virtual
async def test_a_small_request_does_not_wait_for_all_of_a_large_one() -> None:
    upstream = Upstream(pause=lambda: 0.001)
    together = coalescer(upstream)
    large = asyncio.create_task(together.score(wire.pack(float(n) for n in range(10_000))))
    await asyncio.sleep(0)
    assert values_of(await together.score(wire.pack([-1.0]))) == [-1.0]
    assert len(upstream.calls) <= 3
    assert not large.done()
    assert len((await large).numbers) == 20_000


@virtual
async def test_more_rows_than_may_wait_are_refused_at_once_and_the_others_served() -> None:
    upstream = Upstream(pause=lambda: 0.01)
    together = coalescer(upstream, max_waiting=5)
    first = asyncio.create_task(together.score(wire.pack([0.0])))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(together.score(wire.pack([float(n)]))) for n in range(1, 6)]
    await asyncio.sleep(0)
    assert together.waiting == 5
    with pytest.raises(OverloadedError, match="Too many rows wait"):
        await together.score(wire.pack([9.0]))
    assert [values_of(await task) for task in (first, *waiting)] == [[float(n)] for n in range(6)]
    assert together.waiting == 0


@virtual
async def test_a_failed_call_fails_its_own_rows_alone() -> None:
    outcomes = iter([False, True, False])
    together = coalescer(Upstream(pause=lambda: 0.001, fails=lambda: next(outcomes)), max_rows=2)
    results = await asyncio.gather(
        *(together.score(wire.pack([float(n)])) for n in range(5)), return_exceptions=True
    )
    assert [isinstance(result, ModelServerUnavailableError) for result in results] == [
        False,
        True,
        True,
        False,
        False,
    ]


@virtual
async def test_the_rows_of_a_caller_that_has_gone_are_not_sent() -> None:
    upstream = Upstream(pause=lambda: 0.01)
    together = coalescer(upstream)
    stays = asyncio.create_task(together.score(wire.pack([0.0])))
    await asyncio.sleep(0)
    goes = asyncio.create_task(together.score(wire.pack([1.0, 2.0])))
    also_stays = asyncio.create_task(together.score(wire.pack([3.0])))
    await asyncio.sleep(0)
    goes.cancel()
    await asyncio.gather(stays, also_stays)
    assert upstream.calls == [[0.0], [3.0]]
    assert together.waiting == 0


@virtual
async def test_the_rows_of_a_client_that_has_hung_up_are_not_sent() -> None:
    upstream = Upstream(pause=lambda: 0.01)
    together = coalescer(upstream)
    gone: list[bool] = []
    stays = asyncio.create_task(together.score(wire.pack([0.0])))
    await asyncio.sleep(0)
    hangs_up = asyncio.create_task(together.score(wire.pack([1.0, 2.0]), lambda: bool(gone)))
    also_stays = asyncio.create_task(together.score(wire.pack([3.0]), lambda: False))
    await asyncio.sleep(0)
    gone.append(True)
    with pytest.raises(ClientGoneError):
        await hangs_up
    await asyncio.gather(stays, also_stays)
    assert upstream.calls == [[0.0], [3.0]]
    assert together.waiting == 0


@virtual
async def test_the_deadline_holds_while_a_row_waits_and_while_it_is_under_way() -> None:
    together = coalescer(Upstream(pause=lambda: 10.0), timeout=0.05)
    started = now()
    results = await asyncio.gather(
        *(together.score(wire.pack([float(n)])) for n in range(3)), return_exceptions=True
    )
    assert all(isinstance(result, ModelServerTimeoutError) for result in results)
    assert now() - started == pytest.approx(0.05)


@hypothesis_settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    calls=st.integers(1, 3),
    max_rows=st.integers(1, 60),
    max_waiting=st.sampled_from([200, 2_000, 1_000_000]),
    failing=st.sampled_from([0.0, 0.05, 0.5]),
)
def test_thousands_of_interleaved_callers_each_get_their_own(
    seed: int, calls: int, max_rows: int, max_waiting: int, failing: float
) -> None:
    _storm(random.Random(seed), calls, max_rows, max_waiting, failing)  # noqa: S311


@virtual
async def _storm(draw: random.Random, calls: int, max_rows: int, max_waiting: int, failing: float) -> None:
    upstream = Upstream(
        pause=lambda: draw.choice([0.0, 0.0, 0.0005]), fails=lambda: draw.random() < failing
    )
    together = coalescer(upstream, calls=calls, max_rows=max_rows, max_waiting=max_waiting, timeout=1e6)
    numbers = iter(range(10**9))
    cancelled: set[float] = set()

    async def caller() -> None:
        await asyncio.sleep(draw.random() * 0.05)
        rows = [float(next(numbers)) for _ in range(draw.choice([1, 1, 1, 1, 2, 7, 150]))]
        asking = asyncio.ensure_future(together.score(wire.pack(rows)))
        if draw.random() < 0.1:
            await asyncio.sleep(draw.random() * 0.002)
            asking.cancel()
        try:
            assert values_of(await asking) == rows
            assert not upstream.failed & set(rows)
        except asyncio.CancelledError:
            cancelled.update(rows)
        except ModelServerUnavailableError:
            assert upstream.failed & set(rows)
        except OverloadedError:
            assert max_waiting < 1_000_000

    await asyncio.wait_for(asyncio.gather(*(caller() for _ in range(1_000))), timeout=60)
    while together._under_way:  # noqa: ASYNC110 (calls of callers that have gone)
        await asyncio.sleep(0.001)
    sent = [row for call in upstream.calls for row in call]
    assert len(sent) == len(set(sent)), "no row is sent twice"
    assert max(map(len, upstream.calls), default=0) <= max_rows
    assert upstream.most_under_way <= calls
    assert together.waiting == 0
    assert not len(together._deadlines)


@virtual
async def test_each_request_has_its_own_deadline_and_the_call_the_latest() -> None:
    upstream = Upstream(pause=lambda: 0.1)
    together = coalescer(upstream)
    started = now()
    first = asyncio.create_task(together.score(wire.pack([0.0])))
    await asyncio.sleep(0)
    late = asyncio.create_task(together.score(wire.pack([1.0]), deadline=started + 10))
    early = asyncio.create_task(together.score(wire.pack([2.0]), deadline=started + 0.03))
    latest = asyncio.create_task(together.score(wire.pack([3.0]), deadline=started + 20))
    with pytest.raises(ModelServerTimeoutError):
        await early
    assert now() - started == pytest.approx(0.03)
    await asyncio.gather(first, late, latest)
    assert upstream.calls == [[0.0], [1.0, 3.0]]
    assert upstream.deadlines[1] == started + 20


@virtual
async def test_what_could_not_be_answered_in_time_is_refused_at_once() -> None:
    together = coalescer(Upstream(pause=lambda: 0.1))
    await together.score(wire.pack([0.0]))
    under_way = asyncio.create_task(together.score(wire.pack([1.0])))
    await asyncio.sleep(0)
    started = now()
    with pytest.raises(OverloadedError) as refused:
        await together.score(wire.pack([2.0]), deadline=started + 0.05)
    assert now() == started
    assert refused.value.retry_after == pytest.approx((0.1 + 0.1) * 1.2 - 0.05)
    with pytest.raises(OverloadedError):
        together.admit_early(0.05)
    assert values_of(await together.score(wire.pack([3.0]), deadline=started + 1)) == [3.0]
    together.admit_early(0.05)
    await under_way


@virtual
async def test_a_call_that_hangs_makes_the_wait_look_longer_and_a_good_one_shorter_again() -> None:
    pauses = iter([0.001, 0.2, *[0.001] * 100])
    together = coalescer(Upstream(pause=lambda: next(pauses)))
    await together.score(wire.pack([0.0]))
    hangs = asyncio.create_task(together.score(wire.pack([1.0])))
    await asyncio.sleep(0.1)
    assert together.expected(1, now()) == pytest.approx(0.101)
    await hangs
    assert together.expected(1, now()) == 0
    for _ in range(20):
        await together.score(wire.pack([0.0]))
    again = asyncio.create_task(together.score(wire.pack([1.0])))
    await asyncio.sleep(0)
    assert together.expected(1, now()) < 0.05
    await again


@virtual
async def test_a_time_out_is_learnt_from() -> None:
    async def too_slow(_rows: bytes, _keys: bytes = b"", _deadline: float | None = None) -> Answers:
        await asyncio.sleep(0.05)
        raise ModelServerTimeoutError("too slow.")

    together = Coalescer(
        too_slow, row_bytes=8, answer_width=2, max_rows=100, max_waiting=100, calls=1, timeout=1
    )
    with pytest.raises(ModelServerTimeoutError):
        await together.score(wire.pack([0.0]))
    waits = asyncio.create_task(together.score(wire.pack([0.0])))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        together.admit(1, 0.06, now())
    with pytest.raises(ModelServerTimeoutError):
        await waits


@virtual
async def test_a_row_whose_time_ran_short_while_it_waited_is_not_sent() -> None:
    pauses = iter([0.05, 0.6])
    upstream = Upstream(pause=lambda: next(pauses))
    rows = coalescer(upstream)
    await rows.score(wire.pack([1.0]))  # so long, it seems, does a call take
    longer = asyncio.create_task(rows.score(wire.pack([2.0])))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(rows.score(wire.pack([3.0]), deadline=now() + 0.62))
    with pytest.raises(OverloadedError):
        await waiting
    assert values_of(await longer) == [2.0]
    assert upstream.calls == [[1.0], [2.0]]


class Hangs:
    """Answers at once, but while it `hangs` not at all: then a call ends at its deadline."""

    def __init__(self, hangs: bool = True) -> None:
        self.hangs = hangs
        self.sent: list[float] = []
        self.calls = 0

    async def send(self, rows: bytes, _keys: bytes = b"", deadline: float | None = None) -> Answers:
        self.calls += 1
        assert deadline is not None
        if self.hangs:
            await asyncio.sleep(deadline - now())
            raise ModelServerTimeoutError("too slow.")
        await asyncio.sleep(0.002)
        self.sent += wire.unpack(rows)
        return Answers(wire.unpack(wire.pack(n for row in wire.unpack(rows) for n in (1.0, row))), NAMES)


async def outcome(asking: Awaitable[Answers]) -> str:
    try:
        await asking
    except (OverloadedError, ModelServerTimeoutError) as error:
        return type(error).__name__
    return "answered"


@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize("good_ones_before", [0, 50])
@pytest.mark.parametrize("patience", [None, 1.0])
def test_however_often_calls_have_timed_out_the_next_row_is_tried(
    calls: int, good_ones_before: int, patience: float | None
) -> None:
    tried_after_time_outs(calls, good_ones_before, patience)


@virtual
async def tried_after_time_outs(calls: int, good_ones_before: int, patience: float | None) -> None:
    upstream = Hangs(hangs=False)
    together = Coalescer(
        upstream.send, row_bytes=8, answer_width=2, max_rows=100, max_waiting=1000, calls=calls, timeout=5.0
    )

    async def ask(number: float) -> str:
        await asyncio.sleep(0.001)  # for the last call to be over
        deadline = None if patience is None else now() + patience
        return await outcome(together.score(wire.pack([number]), deadline=deadline))

    for number in range(good_ones_before):
        assert await ask(number) == "answered"
    upstream.hangs = True
    for _ in range(30):
        assert await ask(-1.0) == "ModelServerTimeoutError"
    upstream.hangs = False
    for number in range(1000, 1030):
        assert await ask(number) == "answered"
    assert upstream.calls == good_ones_before + 60


@virtual
async def test_while_calls_time_out_one_row_at_a_time_is_tried_and_the_others_are_refused_at_once() -> None:
    upstream = Hangs()
    together = Coalescer(
        upstream.send, row_bytes=8, answer_width=2, max_rows=100, max_waiting=1000, calls=1, timeout=1.0
    )
    assert await outcome(together.score(wire.pack([0.0]))) == "ModelServerTimeoutError"
    await asyncio.sleep(0.001)
    for trial in range(1, 10):
        started = now()
        asking = [asyncio.create_task(outcome(together.score(wire.pack([1.0])))) for _ in range(20)]
        _, tried = await asyncio.wait(asking, timeout=0)
        assert now() == started
        assert len(tried) == 1
        assert await tried.pop() == "ModelServerTimeoutError"
        assert [await one for one in asking].count("OverloadedError") == 19
        assert now() - started == pytest.approx(1.0)
        assert upstream.calls == trial + 1
        await asyncio.sleep(0.001)
    upstream.hangs = False
    started = now()
    outcomes = ["OverloadedError"]
    while "OverloadedError" in outcomes:
        await asyncio.sleep(0.001)
        outcomes = await asyncio.gather(*(outcome(together.score(wire.pack([n]))) for n in (1.0, 2.0)))
    assert now() - started < 0.05, "and when they go well again, all are soon let in"


@virtual
async def test_rows_that_would_make_those_before_them_late_wait_for_the_next_call() -> None:
    pauses = iter([0.1, 1.0, 0.5, 0.3, 0.5])
    upstream = Upstream(pause=lambda: next(pauses))
    together = coalescer(upstream)
    for n_rows in (1, 10):  # ten times the rows, ten times the seconds
        await together.score(wire.pack([0.0] * n_rows))
        await asyncio.sleep(0.001)
    under_way = asyncio.create_task(together.score(wire.pack([1.0])))
    await asyncio.sleep(0)
    short = asyncio.create_task(together.score(wire.pack([2.0]), deadline=now() + 1.0))
    many = asyncio.create_task(together.score(wire.pack([3.0] * 5), deadline=now() + 10.0))
    answers = await asyncio.gather(under_way, short, many)
    assert [values_of(answer) for answer in answers] == [[1.0], [2.0], [3.0] * 5]
    assert upstream.calls[2:] == [[1.0], [2.0], [3.0] * 5]


@virtual
async def test_what_is_left_of_a_large_request_is_refused_once_it_is_sure_to_be_late() -> None:
    pauses = iter([0.1, 0.9])
    upstream = Upstream(pause=lambda: next(pauses))
    together = coalescer(upstream, max_rows=10)
    await together.score(wire.pack([0.0] * 10))
    with pytest.raises(OverloadedError):
        await together.score(wire.pack([1.0] * 20), deadline=now() + 1.0)
    assert list(map(len, upstream.calls)) == [10, 10]


@virtual
async def test_under_overload_what_is_taken_on_is_answered_in_time() -> None:
    upstream = Upstream()

    async def by_rows(rows: bytes, keys: bytes = b"", deadline: float | None = None) -> Answers:
        await asyncio.sleep(len(rows) / 8 * 0.004)
        return await upstream.send(rows, keys, deadline)

    together = Coalescer(
        by_rows, row_bytes=8, answer_width=2, max_rows=1000, max_waiting=10_000, calls=1, timeout=1.0
    )
    outcomes: list[str] = []

    async def ask(number: int) -> None:
        try:
            await together.score(wire.pack([float(number)]))
            outcomes.append("answered")
        except OverloadedError:
            outcomes.append("refused")
        except ModelServerTimeoutError:
            outcomes.append("too late")

    asking = []
    started = now()
    while now() - started < 4:
        asking += [asyncio.create_task(ask(number)) for number in range(5)]
        await asyncio.sleep(0.002)
    await asyncio.gather(*asking)
    answered, too_late = outcomes.count("answered"), outcomes.count("too late")
    assert answered > 0.8 * sum(map(len, upstream.calls)), "nearly all that is scored is in time"
    assert too_late < 0.2 * answered
    assert outcomes.count("refused") > answered > 500
