"""A worker with a real model, real files and a real queue: how jobs end, and what is left of them."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from sepal.bulk.places import folder_of as work_folder_of
from sepal.bulk.run import Progress as Done
from sepal.bulk.run import run
from sepal.bulk.work import WorkFolder
from sepal.contracts.catalogue import load_contracts
from sepal.errors import JobError
from sepal.jobs import folders
from sepal.jobs.holding import Holding
from sepal.jobs.queue import JobQueue
from sepal.jobs.records import Record, Standing, State
from sepal.jobs.upkeep import Upkeep
from sepal.jobs.worker import Worker
from sepal.registry import Registry, Version, lifecycle
from sepal.settings import Settings
from tests.drafts import draft_of, small_pipeline
from tests.jobs.conftest import LEASE, Clock, submit
from tests.waiting import LONG, comes

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


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Set once the first run is at its second chunk, where it stays until it is told to end."""
    reached, chunks = threading.Event(), count(1)

    def run_held(*values: object, watch: Callable[[Done], None], **more: object) -> dict[str, object]:
        def watch_long(done: Done) -> None:
            watch(done)
            if next(chunks) == 2:
                reached.set()
                while reached.is_set():
                    time.sleep(0.01)
                    watch(done)

        return run(*values, watch=watch_long, **more)  # type: ignore[arg-type]  # as the worker gives them

    monkeypatch.setattr("sepal.jobs.worker.run", run_held)
    yield reached
    reached.clear()


def flowers(path: Path, rows: int = 1000) -> pl.DataFrame:
    frame = pl.DataFrame(np.random.default_rng(5).uniform(0.1, 9, (rows, 4)).round(2), schema=NAMES)
    frame.write_csv(path)
    return frame


def until_ended(worker: Worker, queue: JobQueue, job: str) -> Standing:
    def has_ended() -> bool:
        Upkeep(worker._settings, worker._queues).sweep()
        worker.turn()
        return queue.get(job).end is not None

    assert comes(has_ended)
    return queue.get(job)


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

    def job() -> str:
        return submit(queue, input=str(tmp_path / "in.csv"), output=str(output)).record.identity.id

    with WorkFolder.open(work_folder_of(output), None, {}):  # type: ignore[arg-type]  # nothing is written
        found = until_ended(worker, queue, job())
        assert found.state is State.failed
        assert found.end is not None
        assert "Another run is writing this output" in (found.end.error or "")
        assert found.lease is not None
        assert found.lease.attempt == 1 + jobs_settings.jobs_retries
        following = job()
        assert worker.turn()
        assert queue.get(following).state is State.queued
    assert until_ended(worker, queue, following).state is State.done
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
    worker: Worker, queue: JobQueue, held: threading.Event, tmp_path: Path
) -> None:
    flowers(tmp_path / "in.csv", 100_000)
    output = tmp_path / "out.csv"
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(output)).record
    running = threading.Thread(target=worker.turn)
    running.start()
    assert held.wait(LONG)
    assert work_folder_of(output).exists()
    asked = queue.cancel(job.identity.id)
    assert asked.cancelling
    running.join()
    assert queue.get(job.identity.id).state is State.cancelled
    assert not output.exists()
    assert not work_folder_of(output).exists()


def test_a_worker_that_is_stopped_puts_its_job_back_and_the_next_goes_on(
    worker: Worker,
    queue: JobQueue,
    held: threading.Event,
    jobs_settings: Settings,
    tmp_path: Path,
    said: list[str],
) -> None:
    frame = flowers(tmp_path / "in.csv", 100_000)
    output = tmp_path / "out.csv"
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(output)).record
    running = threading.Thread(target=worker.work)
    running.start()
    assert comes(lambda: queue.get(job.identity.id).progress is not None)
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
    clock = Clock()
    clock.pass_by(-10 * LEASE)
    with closing(JobQueue(jobs_settings, "iris", clock)) as dying:
        for _ in range(1 + jobs_settings.jobs_retries):
            assert dying.take() is not None
            clock.pass_by(LEASE)
            dying.sweep()
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
    queue: JobQueue, held: threading.Event, jobs_settings: Settings, tmp_path: Path, said: list[str]
) -> None:
    worker = Worker(jobs_settings.model_copy(update={"jobs_lease": 3}), CONTRACTS, said.append)
    flowers(tmp_path / "in.csv", 100_000)
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv")).record
    running = threading.Thread(target=worker.turn)
    running.start()
    assert comes(lambda: held.is_set() or not running.is_alive())
    lease = queue.get(job.identity.id).lease
    assert lease is not None
    taken = lease.model_copy(update={"attempt": 2, "until": lease.until + LONG})
    queue._keys.write(f"lease:{job.identity.number}:2", taken)
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
    assert comes(lambda: any("does not answer" in line for line in said))
    database.rmdir()
    for left in jobs_settings.data_dir.glob("*.away"):
        left.rename(left.with_name(left.name.removesuffix(".away")))
    with closing(JobQueue(jobs_settings, "iris")) as again:
        assert comes(lambda: again.get(job.identity.id).end is not None)
    worker.stop()
    running.join()


def test_results_past_their_time_and_uploads_that_broke_off_are_removed(
    champion: Version, jobs_settings: Settings, tmp_path: Path
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
        Upkeep(brief, {"iris": queue}).look()
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
    clock = Clock()
    with Holding(away, record, taken[1], LEASE, clock) as holding:
        assert not holding.lost
        clock.pass_by(LEASE + 1)
        assert holding.lost


def test_options_that_do_not_go_together_are_told_before_a_job_is_taken_on(queue: JobQueue) -> None:
    with pytest.raises(JobError, match="Only Parquet can be partitioned"):
        submit(queue, output="/out.csv", partition_by=["species"])
    with pytest.raises(JobError, match="give an output"):
        submit(queue, partition_by=["species"])
    with pytest.raises(ValidationError, match="no encoding 'zlib'"):
        submit(queue, encoding="zlib")


def ended(queue: JobQueue, output: str | None = None) -> Record:
    """A job that has ended, as it was taken on."""
    record = submit(queue, output=output).record if output else submit(queue).record
    queue.cancel(record.identity.id)
    return record


@pytest.mark.parametrize("name", ["iris-1-backup.tar.gz", ".incoming/notes.txt"])
def test_a_file_among_the_folders_of_jobs_keeps_no_worker_from_its_jobs(
    worker: Worker,
    queue: JobQueue,
    jobs_settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    stray, orphan = jobs_settings.jobs_folder / name, jobs_settings.jobs_folder / "iris-99-a"
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.touch()
    orphan.mkdir()
    for path in (stray, orphan):
        os.utime(path, (1, 1))
    flowers(tmp_path / "in.csv")
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv")).record
    assert worker.turn()
    assert queue.get(job.identity.id).state is State.done
    assert stray.exists()
    assert not orphan.exists()
    assert "can't be looked at" not in caplog.text, "nothing is wrong with it"


def test_work_that_can_not_be_removed_is_logged_and_the_others_are(
    jobs_settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    brief = jobs_settings.model_copy(update={"jobs_keep": 1e-9})
    with closing(JobQueue(brief, "iris")) as queue:
        stuck, gone = ended(queue, f"{tmp_path}/stuck/out.csv"), ended(queue)
        stuck_work = work_folder_of(tmp_path / "stuck" / "out.csv")
        (stuck_work / "lock").mkdir(parents=True)  # a folder where a run has a file
        upkeep = Upkeep(brief, {"iris": queue})
        for _ in range(2):
            upkeep.sweep()
        assert not queue.has(gone.identity.id)
        assert queue.has(stuck.identity.id), "it is tried again later"
        assert caplog.text.count("what it left can't be removed") == 1
        (stuck_work / "lock").rmdir()
        Upkeep(brief, {"iris": queue}).sweep()
        assert not queue.has(stuck.identity.id)
        assert not stuck_work.exists()


def test_a_running_job_whose_work_can_not_be_removed_is_cancelled_all_the_same(
    worker: Worker, queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flowers(tmp_path / "in.csv")
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv")).record

    def run_cancelled(*_: object, watch: Callable[[Done], None], **__: object) -> None:
        (work_folder_of(tmp_path / "out.csv") / "lock").mkdir(parents=True)  # where a run has a file
        queue.cancel(job.identity.id)
        while True:
            watch(Done(0, 0, 0, 1, 1.0, 0))

    monkeypatch.setattr("sepal.jobs.worker.run", run_cancelled)
    assert worker.turn()
    assert queue.get(job.identity.id).state is State.cancelled


def test_no_server_is_asked_where_the_work_of_a_remote_output_is(
    jobs_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = jobs_settings.model_copy(update={"jobs_keep": 1e-9})
    monkeypatch.setattr("sepal.bulk.arrow_files.filesystem_of_url", None)
    with closing(JobQueue(brief, "iris")) as queue:
        job = ended(queue, "s3://no-such-bucket-anywhere/out.csv")
        Upkeep(brief, {"iris": queue}).sweep()
        assert not queue.has(job.identity.id)


def test_an_error_that_nobody_foresaw_in_looking_after_the_queues_ends_no_worker(
    worker: Worker,
    queue: JobQueue,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sepal.jobs.folders.left_behind", lambda _: [None])
    flowers(tmp_path / "in.csv")
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv")).record
    running = threading.Thread(target=worker.work)
    running.start()
    assert comes(lambda: queue.get(job.identity.id).state is State.done)
    worker.stop()
    running.join()
    assert "goes on after an unexpected error" in caplog.text


class Store(BaseHTTPRequestHandler):
    """As much of a store of objects as reading one needs: an object, or a refusal."""

    content: ClassVar[bytes | None] = None

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        content = self.content or b""
        start, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = content[int(start) : int(last) + 1 if last else None]
        self.send_response(403 if self.content is None else 206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Last-Modified", "Fri, 01 May 2026 02:00:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(part)

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002 (its name there)
        pass


def test_a_store_of_objects_that_refuses_for_a_while_is_waited_for(
    worker: Worker, queue: JobQueue, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker._settings = worker._settings.model_copy(update={"jobs_locations": ("s3://flowers",)})
    job = submit(queue, input="s3://flowers/in.csv").record
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        told = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        try:
            assert worker.turn()
            assert queue.get(job.identity.id).state is State.queued
            assert "again in 0.1 seconds. s3://flowers/in.csv can't be read" in said[-1]
            flowers(tmp_path / "in.csv")
            monkeypatch.setattr(Store, "content", (tmp_path / "in.csv").read_bytes())
            assert until_ended(worker, queue, job.identity.id).state is State.done
        finally:
            server.shutdown()
            serving.join()


def test_a_registry_that_is_busy_is_waited_for(
    worker: Worker, queue: JobQueue, jobs_settings: Settings, said: list[str], tmp_path: Path
) -> None:
    flowers(tmp_path / "in.csv")
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv")).record
    database = Path(jobs_settings.database.removeprefix("sqlite:///"))
    sound = database.read_bytes()
    database.write_bytes(b"no database " * 1000)
    assert worker.turn()
    assert queue.get(job.identity.id).state is State.queued
    assert "again in 0.1 seconds" in said[-1]
    database.write_bytes(sound)
    assert until_ended(worker, queue, job.identity.id).state is State.done


def prune_the_first(settings: Settings) -> None:
    """Make two more versions champion one after the other, and remove the first, as an operator does."""
    with Registry.open(settings) as registry:
        for _ in range(2):
            version = registry.register(draft_of(small_pipeline()))
            lifecycle.promote(registry, "iris", version.name, "test", bool)
        removed = lifecycle.prune(registry, ["iris"], 1, "test")
    assert [version.name for version in removed] == ["log_reg_1"]


def test_a_job_that_has_written_nothing_takes_todays_champion_for_one_that_was_removed(
    worker: Worker, queue: JobQueue, jobs_settings: Settings, tmp_path: Path, said: list[str]
) -> None:
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv")).record
    taken = queue.take()
    assert taken is not None
    assert queue.pin_version(job, "log_reg_1") == "log_reg_1"
    queue.put_back(*(taken[0].record, taken[1]))
    prune_the_first(jobs_settings)
    flowers(tmp_path / "in.csv")
    assert until_ended(worker, queue, job.identity.id).state is State.done
    assert json.loads(queue.manifest(job) or b"")["version"] == "log_reg_3"
    assert any("log_reg_1 is no more, log_reg_3 scores" in line for line in said)


def test_a_job_that_has_begun_with_a_version_that_was_removed_says_what_to_do(
    worker: Worker,
    queue: JobQueue,
    held: threading.Event,
    jobs_settings: Settings,
    tmp_path: Path,
    said: list[str],
) -> None:
    flowers(tmp_path / "in.csv", 100_000)
    job = submit(queue, input=str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv")).record
    running = threading.Thread(target=worker.work)
    running.start()
    assert comes(lambda: queue.get(job.identity.id).progress is not None)
    worker.stop()
    running.join()
    prune_the_first(jobs_settings)
    following = Worker(jobs_settings, CONTRACTS, said.append)
    found = until_ended(following, queue, job.identity.id)
    following.stop()
    following.work()
    assert found.end is not None
    assert found.state is State.failed
    assert "begun with log_reg_1 of iris, which has been removed since" in (found.end.error or "")
    assert "send the job again" in (found.end.error or "")
