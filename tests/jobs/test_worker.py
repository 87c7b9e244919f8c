"""A worker with a real model, real files and a real queue: how jobs end, and what is left of them."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from sepal.bulk.places import folder_of as work_folder_of
from sepal.bulk.work import WorkFolder
from sepal.contracts.catalogue import load_contracts
from sepal.errors import JobError
from sepal.jobs import folders
from sepal.jobs.holding import Holding
from sepal.jobs.queue import JobQueue
from sepal.jobs.records import Standing, State
from sepal.jobs.worker import Worker
from sepal.registry import Registry, Version
from sepal.settings import Settings
from tests.drafts import draft_of, small_pipeline
from tests.jobs.conftest import LEASE, submit

CONTRACTS = load_contracts((), ["iris"])
NAMES = [column.name for column in CONTRACTS["iris"].columns]
pytestmark = pytest.mark.usefixtures("champion")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def worker(jobs_settings: Settings, said: list[str]) -> Iterator[Worker]:
    worker = Worker(jobs_settings, CONTRACTS, said.append)
    yield worker
    worker.stop()
    worker.work()  # closes its queues


def flowers(path: Path, rows: int = 1000) -> pl.DataFrame:
    frame = pl.DataFrame(np.random.default_rng(5).uniform(0.1, 9, (rows, 4)).round(2), schema=NAMES)
    frame.write_csv(path)
    return frame


def until_ended(worker: Worker, queue: JobQueue, job: str) -> Standing:
    late = time.monotonic() + 20
    while (found := queue.get(job)).end is None:
        assert time.monotonic() < late
        worker._swept = float("-inf")
        worker.turn()
    return found


def test_a_job_is_scored_as_its_pipeline_does_and_tells_what_was_done(
    worker: Worker, queue: JobQueue, tmp_path: Path
) -> None:
    frame = flowers(tmp_path / "in.csv")
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv"))
    found = until_ended(worker, queue, job.record.identity.id)
    assert found.state is State.done
    assert found.progress is not None
    assert (found.progress.rows, found.progress.rejected, found.progress.share) == (1000, 0, 1.0)
    scored = pl.read_csv(tmp_path / "out.csv")
    assert scored["prediction"].to_list() == small_pipeline().predict(frame.to_numpy()).tolist()
    manifest = json.loads(queue.manifest(job.record) or b"")
    assert manifest["version"] == "log_reg_1"
    assert manifest["rows"]["scored"] == 1000


def test_an_output_without_a_place_is_kept_in_the_jobs_folder(
    worker: Worker, queue: JobQueue, jobs_settings: Settings, tmp_path: Path
) -> None:
    flowers(tmp_path / "in.csv")
    job = submit(queue, input=str(tmp_path / "in.csv"), output_format="parquet").record
    assert until_ended(worker, queue, job.identity.id).state is State.done
    made = folders.output_of(jobs_settings, job)
    assert made is not None
    assert pl.read_parquet(made).height == 1000
    assert str(jobs_settings.data_dir) not in (queue.manifest(job) or b"").decode()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a,b\n1,2\n", "SepalLengthCm"),
        (f"{','.join(NAMES)}\n1,2,3,99\n", "1 of 1 rows are rejected"),
        (None, "There is no file at"),
    ],
)
def test_a_file_that_can_not_be_used_fails_at_once_with_its_reason(
    worker: Worker, queue: JobQueue, jobs_settings: Settings, tmp_path: Path, content: str | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "in.csv").write_text(content)
    job = submit(queue, input=str(tmp_path / "in.csv")).record
    found = until_ended(worker, queue, job.identity.id)
    assert found.state is State.failed
    assert found.end is not None
    assert told in (found.end.error or "")
    assert str(jobs_settings.data_dir) not in (found.end.error or "")
    assert found.lease is not None
    assert found.lease.attempt == 1
    made = folders.output_of(jobs_settings, job)
    assert made is not None
    assert not made.exists()
    rejected = folders.rejected_of(made)
    assert (rejected is not None) == ("rejected" in told)


def test_what_nobody_foresaw_is_logged_and_says_nothing_of_itself(
    worker: Worker,
    queue: JobQueue,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise NotADirectoryError("a secret")

    monkeypatch.setattr("sepal.jobs.worker.run", fail)
    flowers(tmp_path / "in.csv")
    job = submit(queue, input=str(tmp_path / "in.csv"), output=f"{tmp_path}/out.csv").record
    found = until_ended(worker, queue, job.identity.id)
    assert found.end is not None
    assert (found.state, found.end.error) == (
        State.failed,
        "Something went wrong here; it has been logged.",
    )
    assert "NotADirectoryError" in caplog.text


def test_an_output_that_another_run_is_writing_is_tried_again_so_often(
    worker: Worker, queue: JobQueue, jobs_settings: Settings, tmp_path: Path, said: list[str]
) -> None:
    flowers(tmp_path / "in.csv")
    output = tmp_path / "out.csv"
    jobs = [
        submit(queue, input=str(tmp_path / "in.csv"), output=str(output)).record.identity.id for _ in "ab"
    ]
    with WorkFolder.open(work_folder_of(output), None, {}):  # type: ignore[arg-type]  # nothing is written
        found = until_ended(worker, queue, jobs[0])
        assert found.state is State.failed
        assert found.end is not None
        assert "Another run is writing this output" in (found.end.error or "")
        assert found.lease is not None
        assert found.lease.attempt == 1 + jobs_settings.jobs_retries
    assert until_ended(worker, queue, jobs[1]).state is State.done
    assert any("again in 0.2 seconds" in line for line in said)


def test_a_link_that_leads_out_is_not_followed(worker: Worker, queue: JobQueue, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    flowers(tmp_path / "in" / "a.csv")
    (tmp_path / "in" / "b.csv").symlink_to("/etc/hostname")
    job = submit(queue, input=str(tmp_path / "in"), output=str(tmp_path / "out.csv")).record
    found = until_ended(worker, queue, job.identity.id)
    assert found.end is not None
    assert "SEPAL_JOBS_LOCATIONS" in (found.end.error or "")
    elsewhere = submit(queue, input="/etc/passwd", output="/etc/scored.csv").record
    found = until_ended(worker, queue, elsewhere.identity.id)
    assert found.end is not None
    assert "The output is not allowed there" in (found.end.error or "")


def test_a_job_that_runs_is_cancelled_at_a_chunk_and_leaves_nothing(
    worker: Worker, queue: JobQueue, jobs_settings: Settings, tmp_path: Path
) -> None:
    flowers(tmp_path / "in.csv", 3_000_000)
    output = tmp_path / "out.csv"
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(output)).record
    running = threading.Thread(target=worker.turn)
    running.start()
    while queue.get(job.identity.id).progress is None:
        time.sleep(0.01)
    asked = queue.cancel(job.identity.id)
    assert asked.cancelling
    running.join()
    assert queue.get(job.identity.id).state is State.cancelled
    assert not output.exists()
    assert not work_folder_of(output).exists()


def test_a_worker_that_is_stopped_puts_its_job_back_and_the_next_goes_on(
    worker: Worker, queue: JobQueue, jobs_settings: Settings, tmp_path: Path, said: list[str]
) -> None:
    frame = flowers(tmp_path / "in.csv", 2_000_000)
    output = tmp_path / "out.csv"
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(output)).record
    running = threading.Thread(target=worker.work)
    running.start()
    while queue.get(job.identity.id).progress is None:
        time.sleep(0.01)
    worker.stop()
    running.join()
    assert said[-2:] == [f"Job {job.identity.id} of iris: put back.", "The worker has stopped."]
    assert queue.get(job.identity.id).state is State.queued
    assert not output.exists()
    with Registry.open(jobs_settings) as registry:
        registry.register(draft_of(small_pipeline()))
    following = Worker(jobs_settings, CONTRACTS, said.append)
    found = until_ended(following, queue, job.identity.id)
    following.stop()
    following.work()
    assert found.state is State.done
    assert json.loads(queue.manifest(job) or b"")["resumed_rows"] > 0
    assert (
        pl.read_csv(output)["prediction"].to_list() == small_pipeline().predict(frame.to_numpy()).tolist()
    )


def test_a_job_that_kills_its_workers_is_given_up(
    worker: Worker, queue: JobQueue, jobs_settings: Settings
) -> None:
    job = submit(queue).record
    for _ in range(1 + jobs_settings.jobs_retries):
        assert queue.take() is not None
        time.sleep(LEASE)
        queue.sweep()
    found = until_ended(worker, queue, job.identity.id)
    assert found.end is not None
    assert found.end.error == "Given up: its worker died 3 times in a row."


def test_another_runs_leavings_at_the_same_output_are_no_part_of_a_new_job(
    worker: Worker, queue: JobQueue, tmp_path: Path
) -> None:
    flowers(tmp_path / "in.csv")
    output = tmp_path / "out.csv"
    work = work_folder_of(output)
    work.mkdir()
    (work / "plan.json").write_text('{"job": "another"}')
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(output)).record
    assert until_ended(worker, queue, job.identity.id).state is State.done


def test_a_job_that_another_worker_has_taken_is_left_to_it(
    worker: Worker, queue: JobQueue, jobs_settings: Settings, tmp_path: Path, said: list[str]
) -> None:
    flowers(tmp_path / "in.csv", 3_000_000)
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv")).record
    running = threading.Thread(target=worker.turn)
    running.start()
    while queue.get(job.identity.id).progress is None:
        time.sleep(0.01)
    lease = queue.get(job.identity.id).lease
    assert lease is not None
    queue._store(f"lease:{job.identity.number}:2", lease.model_copy(update={"attempt": 2}))
    running.join()
    assert said[-1] == f"Job {job.identity.id} of iris: another worker has it now."
    assert queue.get(job.identity.id).end is None


def test_a_queue_that_is_away_for_a_while_ends_no_worker_and_loses_no_end(
    worker: Worker, queue: JobQueue, jobs_settings: Settings, tmp_path: Path, said: list[str]
) -> None:
    flowers(tmp_path / "in.csv")
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv")).record
    database = jobs_settings.data_dir / "jobs.sqlite"
    queue.close()
    running = threading.Thread(target=worker.work)
    for left in jobs_settings.data_dir.glob("jobs.sqlite*"):
        left.rename(left.with_name(f"{left.name}.away"))
    database.mkdir()
    running.start()
    while not any("does not answer" in line for line in said):
        time.sleep(0.01)
    database.rmdir()
    for left in jobs_settings.data_dir.glob("*.away"):
        left.rename(left.with_name(left.name.removesuffix(".away")))
    with closing(JobQueue(jobs_settings, "iris")) as again:
        late = time.monotonic() + 20
        while again.get(job.identity.id).end is None:
            assert time.monotonic() < late
            time.sleep(0.05)
    worker.stop()
    running.join()


def test_results_past_their_time_and_uploads_that_broke_off_are_removed(
    champion: Version, jobs_settings: Settings, tmp_path: Path, said: list[str]
) -> None:
    brief = jobs_settings.model_copy(update={"jobs_keep": 1e-9})
    with closing(JobQueue(brief, "iris")) as queue:
        job = submit(queue).record
        there = submit(queue, output=str(tmp_path / "out.csv")).record
        waiting = submit(queue).record
        for record in (job, there):
            queue.cancel(record.identity.id)
        work_folder_of(tmp_path / "out.csv").mkdir()
        kept, old, young = (
            folders.folder_of(brief, waiting),
            *(folders.incoming(brief, name) for name in "ab"),
        )
        foreign, orphan = brief.jobs_folder / "wine-1-a", brief.jobs_folder / "iris-99-a"
        for folder in (folders.folder_of(brief, job), kept, foreign, orphan):
            folder.mkdir()
            (folder / "input.csv").touch()
        for path in [old, *(kept, foreign, orphan), *(f / "input.csv" for f in (kept, foreign, orphan))]:
            os.utime(path, (1, 1))
        worker = Worker(brief, CONTRACTS, said.append)
        worker._look_after()
        worker.stop()
        worker.work()
        assert not queue.has(job.identity.id)
        assert not queue.has(there.identity.id)
    assert not folders.folder_of(brief, job).exists()
    assert not work_folder_of(tmp_path / "out.csv").exists()
    assert {path.name for path in brief.jobs_folder.iterdir()} == {kept.name, foreign.name, ".incoming"}
    assert [*(brief.jobs_folder / ".incoming").iterdir()] == [young]


def test_a_holding_that_can_not_renew_its_lease_in_time_is_lost(tmp_path: Path) -> None:
    away = JobQueue(Settings(data_dir=tmp_path, jobs_queue_url="redis://127.0.0.1:1/0"), "iris")
    with closing(JobQueue(Settings(data_dir=tmp_path), "iris")) as queue:
        record = submit(queue).record
        taken = queue.take()
    assert taken is not None
    with Holding(away, record, taken[1], 0.2) as holding:
        assert not holding.lost
        time.sleep(0.3)
        assert holding.lost


def test_options_that_do_not_go_together_are_told_before_a_job_is_taken_on(queue: JobQueue) -> None:
    with pytest.raises(JobError, match="Only Parquet can be partitioned"):
        submit(queue, output="/out.csv", partition_by=["species"])
    with pytest.raises(JobError, match="give an output"):
        submit(queue, partition_by=["species"])
    with pytest.raises(ValidationError, match="no encoding 'zlib'"):
        submit(queue, encoding="zlib")
