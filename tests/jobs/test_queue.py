"""The queue of jobs on each of its storages: nothing is lost, and nothing is run by two."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from sepal.errors import JobEndedError, KeyReusedError, NotFoundError, OverloadedError, QueueError
from sepal.jobs.queue import JobQueue
from sepal.jobs.records import Lease, Progress, Record, Request, Standing, State, fingerprint
from sepal.settings import Settings
from tests.jobs.conftest import LEASE, Clock, submit


@pytest.fixture(params=["sqlite", "redis", "postgresql"])
def settings(request: pytest.FixtureRequest, jobs_settings: Settings) -> Settings:
    fixtures = {"redis": "redis_url", "postgresql": "postgres_url"}
    url = request.getfixturevalue(fixtures[request.param]) if request.param in fixtures else ""
    return jobs_settings.model_copy(update={"jobs_queue_url": url})


@pytest.fixture
def model() -> str:
    """Another one in each test, since the servers are shared."""
    return f"m{uuid4().hex[:8]}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(settings: Settings, model: str, clock: Clock) -> Iterator[JobQueue]:
    with closing(JobQueue(settings, model, clock)) as queue:
        yield queue


@pytest.fixture
def other(settings: Settings, model: str, clock: Clock) -> Iterator[JobQueue]:
    """The same queue from another process's side."""
    with closing(JobQueue(settings, model, clock)) as queue:
        yield queue


def test_jobs_are_taken_in_the_order_of_their_coming_by_whoever_asks(
    queue: JobQueue, other: JobQueue
) -> None:
    ids = [submit(queue).record.identity.id for _ in range(3)]
    taken = [side.take() for side in (other, queue, other)]
    assert [found and found[0].record.identity.id for found in taken] == ids
    assert queue.take() is None
    assert {queue.get(job).state for job in ids} == {State.running}


def test_a_job_is_found_by_its_whole_id_alone(queue: JobQueue) -> None:
    job = submit(queue).record.identity.id
    assert queue.get(job).state is State.queued
    for wrong in ("1", "1-", f"{job}x", "x", "-", "²-1", f"{10**20}-a", ""):
        assert not queue.has(wrong)
    with pytest.raises(NotFoundError, match="no job '7-abc'"):
        queue.get("7-abc")


def test_the_same_key_gives_the_same_job_and_with_another_body_an_error(
    queue: JobQueue, other: JobQueue
) -> None:
    first = submit(queue, key="monday")
    assert submit(other, key="monday").record == first.record
    assert submit(other, key="tuesday").record != first.record
    with pytest.raises(KeyReusedError, match="with another job"):
        submit(other, key="monday", proba=True)
    assert queue.take() is not None
    assert queue.take() is not None
    assert queue.take() is None


def test_of_many_who_send_one_key_at_once_all_get_one_job(queue: JobQueue, other: JobQueue) -> None:
    with ThreadPoolExecutor(8) as pool:
        jobs = pool.map(lambda at: submit((queue, other)[at % 2], key="same"), range(16))
        assert len({job.record.identity.id for job in jobs}) == 1


def test_of_many_who_take_at_once_each_job_goes_to_one(queue: JobQueue, other: JobQueue) -> None:
    ids = {submit(queue).record.identity.id for _ in range(10)}
    for number in range(1, 11):  # hints too many
        queue._keys.storage.enqueue(str(number).encode())
    with ThreadPoolExecutor(8) as pool:
        taken = [*pool.map(lambda at: (queue, other)[at % 2].take(), range(40))]
    got = [found[0].record.identity.id for found in taken if found is not None]
    assert sorted(got) == sorted(ids)


def test_a_job_whose_worker_died_is_put_back_once_its_lease_has_ended(
    queue: JobQueue, other: JobQueue, clock: Clock
) -> None:
    job = submit(queue).record.identity.id
    taken = queue.take()
    assert taken is not None
    assert other.sweep() == []
    assert other.take() is None, "its worker may be alive"
    clock.pass_by(LEASE)
    other.sweep()
    again = other.take()
    assert again is not None
    assert (again[0].record.identity.id, again[1].attempt, again[1].failures) == (job, 2, 1)
    assert queue.renew(*_held(taken)) is None, "the first has lost it"
    assert other.renew(*_held(again)) is not None


def test_a_job_that_was_taken_on_and_never_queued_is_found(queue: JobQueue, other: JobQueue) -> None:
    submit(queue)
    assert queue._keys.storage.dequeue() is not None  # as if the gateway had died before it
    assert other.take() is None
    other.sweep()
    other.sweep()
    assert other.take() is not None
    assert other.take() is None


def test_a_lease_that_is_renewed_is_nobody_elses(queue: JobQueue, other: JobQueue, clock: Clock) -> None:
    submit(queue)
    taken = queue.take()
    assert taken is not None
    for _ in range(6):
        clock.pass_by(LEASE / 4)
        assert queue.renew(*_held(taken)) is not None
        other.sweep()
        assert other.take() is None


def test_a_job_that_is_put_back_goes_on_where_it_stood(queue: JobQueue, other: JobQueue) -> None:
    submit(queue)
    taken = queue.take()
    assert taken is not None
    record, lease = _held(taken)
    assert queue.pin_version(record, "log_reg_1") == "log_reg_1"
    queue.tell(record, Progress(rows=10, rejected=1, share=0.5, rows_per_second=100))
    queue.put_back(record, lease)
    again = other.take()
    assert again is not None
    assert again[0].progress is not None
    assert again[0].progress.rows == 10
    assert again[1].failures == 0
    assert other.pin_version(record, "log_reg_2") == "log_reg_1"


def test_a_pause_is_waited_for_and_can_be_cancelled(queue: JobQueue, clock: Clock) -> None:
    jobs = [submit(queue).record.identity.id for _ in range(2)]
    for _ in jobs:
        taken = queue.take()
        assert taken is not None
        queue.put_back(*_held(taken), pause=3)
    assert queue.get(jobs[0]).state is State.queued
    queue.sweep()
    assert queue.take() is None
    assert queue.cancel(jobs[1]).state is State.cancelled
    clock.pass_by(3)
    queue.sweep()
    again = queue.take()
    assert again is not None
    assert again[0].record.identity.id == jobs[0]
    assert queue.take() is None


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked_to_end(queue: JobQueue) -> None:
    running, waiting = (submit(queue).record.identity.id for _ in range(2))
    taken = queue.take()
    assert taken is not None
    assert queue.cancel(waiting).state is State.cancelled
    assert queue.cancel(waiting).state is State.cancelled
    assert queue.take() is None
    asked = queue.cancel(running)
    assert (asked.state, asked.cancelling) == (State.running, True)
    assert queue.is_cancelled(taken[0].record)
    queue.end(*_held(taken), State.cancelled)
    assert queue.get(running).state is State.cancelled


def test_the_first_end_stays(queue: JobQueue) -> None:
    job = submit(queue).record.identity.id
    taken = queue.take()
    assert taken is not None
    queue.end(*_held(taken), State.done)
    queue.end(*_held(taken), State.failed, "too late")
    assert (queue.get(job).state, queue.get(job).end and queue.get(job).end.error) == (State.done, None)
    with pytest.raises(JobEndedError, match="done already"):
        queue.cancel(job)


def test_pages_have_every_job_once_the_newest_first(queue: JobQueue) -> None:
    assert queue.page(5, None) == ([], None)
    ids = [submit(queue).record.identity.id for _ in range(7)]
    queue.claim(None, "")  # a number that never became a job
    seen, before = [], None
    while True:
        page, before = queue.page(3, before)
        seen += [found.record.identity.id for found in page]
        if before is None:
            break
    assert seen == ids[::-1]
    assert queue.page(7, None)[1] is None


def test_no_more_are_queued_than_may_be(settings: Settings, model: str) -> None:
    with closing(JobQueue(settings.model_copy(update={"jobs_queued": 2}), model)) as queue:
        for _ in range(2):
            queue.check_room()
            submit(queue)
        with pytest.raises(OverloadedError, match=r"2 jobs of m\w+ are queued already"):
            queue.check_room()


def test_what_is_past_its_time_is_removed_with_all_that_was_kept_of_it(
    settings: Settings, model: str, clock: Clock
) -> None:
    brief = settings.model_copy(update={"jobs_keep": 1})
    with closing(JobQueue(brief, model, clock)) as queue:
        kept = submit(queue, key="kept").record
        ended = submit(queue, key="ended").record
        queue.cancel(ended.identity.id)
        assert queue.sweep() == []
        clock.pass_by(24 * 3600 + 1)
        assert queue.sweep() == [ended]
        queue.remove(ended)
        assert queue.sweep() == []
        assert not queue.has(ended.identity.id)
        assert queue.has(kept.identity.id)
        names = set(queue._keys.storage.result_items())
        assert all(not name.endswith(f":{ended.identity.number}") for name in names)
        assert submit(queue, key="ended").record != ended


def test_of_too_many_finished_jobs_the_oldest_go(settings: Settings, model: str) -> None:
    with closing(JobQueue(settings.model_copy(update={"jobs_kept": 2}), model)) as queue:
        jobs = [submit(queue).record for _ in range(4)]
        for job in jobs:
            queue.cancel(job.identity.id)
        assert queue.sweep() == jobs[:2]


def test_a_manifest_is_kept_as_it_was_given(queue: JobQueue) -> None:
    record = submit(queue).record
    assert queue.manifest(record) is None
    queue.keep_manifest(record, '{"rows": 1}')
    assert queue.manifest(record) == b'{"rows": 1}'


def test_a_job_with_very_many_attempts_is_held_by_the_last(queue: JobQueue) -> None:
    record = submit(queue).record
    for _ in range(9):
        taken = queue.take()
        assert taken is not None
        queue.put_back(*_held(taken))
    found = queue.get(record.identity.id)
    assert found.lease is not None
    assert found.lease.attempt == 9
    queue.remove(record)
    assert not [name for name in queue._keys.storage.result_items() if name.startswith("lease:")]


def break_off_at(queue: JobQueue, key: str, patch: pytest.MonkeyPatch) -> None:
    """Have the storage go away when a key is to be deleted."""
    delete = queue._keys.storage.delete_data

    def away(name: str) -> bool:
        if name == key:
            raise sqlite3.OperationalError("the disk is gone")
        return bool(delete(name))

    patch.setattr(queue._keys.storage, "delete_data", away)


@pytest.mark.parametrize("kind", ["version", "manifest", "end", "job"])
def test_a_job_whose_removal_breaks_off_is_not_run_again(
    queue: JobQueue, other: JobQueue, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    record = submit(queue, key="monday").record
    queue.cancel(record.identity.id)
    assert queue.take() is None
    with monkeypatch.context() as patch:
        break_off_at(queue, f"{kind}:1", patch)
        with pytest.raises(QueueError):
            queue.remove(record)
    other.sweep()
    assert other.take() is None
    if other.has(record.identity.id):
        other.remove(record)
    assert not queue._keys.storage.result_items(), "nothing is left of it"


def test_a_removal_that_breaks_off_among_the_attempts_finds_them_all_again(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = submit(queue).record
    for _ in range(6):
        taken = queue.take()
        assert taken is not None
        queue.put_back(*_held(taken))
    with monkeypatch.context() as patch:
        break_off_at(queue, "lease:1:3", patch)
        with pytest.raises(QueueError):
            queue.remove(record)
    queue.remove(record)
    assert not queue._keys.storage.result_items()


def at_call(queue: JobQueue, at: int, happen: Callable[[], None], patch: pytest.MonkeyPatch) -> list[int]:
    """Have something happen just before a call of the storage, by its number; that number, once it has."""
    storage, calls, happened = queue._keys.storage, itertools.count(), list[int]()

    def interrupted(call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*values: object) -> object:
            if next(calls) == at:
                happened.append(at)
                happen()
            return call(*values)

        return wrapped

    for name in ("peek_data", "peek_many", "has_data_for_key", "put_if_empty"):
        patch.setattr(storage, name, interrupted(getattr(storage, name)))
    return happened


@pytest.mark.parametrize("how", ["removed", "ended"])
def test_a_job_that_ends_or_is_removed_while_it_is_looked_at_is_not_taken(
    queue: JobQueue, other: JobQueue, clock: Clock, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    for at in itertools.count():
        record = submit(queue).record
        taken = other.take()
        assert taken is not None
        clock.pass_by(LEASE - 1)
        assert other.renew(*_held(taken)) is not None
        clock.pass_by(2)
        happen = partial(other.end, *_held(taken), State.done)
        if how == "removed":
            happen()
            happen = partial(other.remove, record)
        queue._keys.enqueue(record.identity.number)  # a hint too many
        with monkeypatch.context() as patch:
            happened = at_call(queue, at, happen, patch)
            assert queue.take() is None
        if not happened:
            break
        other.remove(record)
        left = {name for name in queue._keys.storage.result_items() if name != "oldest"}
        assert not left, f"call {at}"
    assert at > 3


def test_a_job_that_another_runs_and_removes_while_it_is_looked_at_is_run_once(
    queue: JobQueue, other: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in itertools.count():
        record = submit(queue).record
        ran: list[Lease] = []

        def run_and_remove(record: Record = record, ran: list[Lease] = ran) -> None:
            other._keys.enqueue(record.identity.number)
            if (taken := other.take()) is not None:
                ran.append(taken[1])
                other.end(*_held(taken), State.done)
                other.remove(record)

        with monkeypatch.context() as patch:
            happened = at_call(queue, at, run_and_remove, patch)
            taken = queue.take()
        assert len(ran) + (taken is not None) == 1, f"call {at}"
        if not happened:
            break
        other.remove(record)
        assert not {name for name in queue._keys.storage.result_items() if name != "oldest"}
    assert at > 6


def test_a_key_that_comes_again_late_gives_a_job_that_is_seen_run_and_removed(
    queue: JobQueue, other: JobQueue, clock: Clock
) -> None:
    """Its first try took a number, and broke off before there was a job."""
    asked = fingerprint(Request.model_validate({"input": "/in/flowers.csv"}).model_dump_json())
    first = queue.claim("monday", asked)
    accepted = submit(queue).record
    for _ in range(5):
        clock.pass_by(1800)
        other.sweep()
    late = submit(queue, key="monday").record
    assert submit(queue, key="monday").record == late
    assert late.identity != first.identity
    assert {found.record.identity.id for found in queue.page(10, None)[0]} == {
        accepted.identity.id,
        late.identity.id,
    }
    assert not queue._keys.has(f"claim:{first.identity.number}"), "claims do not pile up"
    queue._keys.storage.flush_queue()
    other.sweep()
    assert len([*iter(other.take, None)]) == 2


def test_a_job_older_than_the_oldest_is_seen_and_found_again(
    queue: JobQueue, other: JobQueue, clock: Clock
) -> None:
    """As one whose request was held up for hours."""
    late = queue.claim(None, "")
    submit(queue)
    clock.pass_by(3 * 3600)
    other.sweep()
    assert queue._keys.oldest == 2
    record = Record.make(late.identity, "iris", Request.model_validate({"input": "/in/late.csv"}))
    queue.put(record)
    assert len(queue.page(10, None)[0]) == 2
    queue._keys.storage.flush_queue()
    other.sweep()
    assert len([*iter(other.take, None)]) == 2


def test_a_claim_that_is_young_keeps_its_number(queue: JobQueue, other: JobQueue, clock: Clock) -> None:
    first = queue.claim("monday", "body")
    submit(queue)
    clock.pass_by(3000)
    other.sweep()
    assert queue.claim("monday", "body") == first


def test_a_full_queue_has_room_for_a_job_that_it_has(settings: Settings, model: str) -> None:
    with closing(JobQueue(settings.model_copy(update={"jobs_queued": 1}), model)) as queue:
        submit(queue, key="monday")
        queue.claim("tuesday", "without a job")
        queue.check_room("monday")
        for key in (None, "tuesday", "wednesday"):
            with pytest.raises(OverloadedError):
                queue.check_room(key)


@pytest.mark.parametrize(
    "scheme", ["redis://127.0.0.1:1", "postgresql://sepal@127.0.0.1:1/x", "sqlite:////proc/x/y"]
)
def test_a_queue_that_can_not_be_reached_is_told_without_its_address(tmp_path: Path, scheme: str) -> None:
    queue = JobQueue(Settings(data_dir=tmp_path, jobs_queue_url=scheme), "iris")
    with pytest.raises(QueueError, match=r"does not answer \(\w+\)") as told:
        queue.check_room()
    assert "127" not in str(told.value)


def _held(taken: tuple[Standing, Lease]) -> tuple[Record, Lease]:
    """What `take` gives, as `renew`, `put_back` and `end` want it."""
    return taken[0].record, taken[1]
