"""Bulk scoring through the API, with both tiers and workers really running, and killed."""

import gzip
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest

from sepal.contracts.catalogue import load_contracts
from sepal.registry import Registry
from tests.end_to_end.conftest import Place, Served, serving

pytestmark = pytest.mark.end_to_end

NAMES = [column.name for column in load_contracts()["iris"].columns]
ROWS = 400_000


@pytest.fixture
def place(trained: Place, tmp_path: Path) -> Place:
    """The trained models, with a queue and a place for files of this test's own."""
    (tmp_path / "files").mkdir()
    place = trained.beside()
    place.environment.update(
        SEPAL_JOBS_QUEUE_URL=f"sqlite:///{tmp_path}/jobs.sqlite",
        SEPAL_JOBS_LOCATIONS=f"{tmp_path}/files",
        SEPAL_JOBS_LEASE="1.5",
        SEPAL_BULK_MEMORY=str(2**26),  # small chunks, so that there are many
    )
    return place


@contextmanager
def working(place: Place) -> Iterator["subprocess.Popen[str]"]:
    """A worker, from its start to its clean end."""
    process = place.start("worker", "iris")
    try:
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=30)
            assert process.returncode == 0, output
            assert "The worker has stopped." in output
    finally:
        process.kill()
        process.communicate()


def request(
    served: Served,
    method: str,
    path: str,
    data: bytes | None = None,
    **headers: str,
) -> tuple[int, bytes, Any]:
    asked = urllib.request.Request(  # noqa: S310
        served.url + path,
        data,
        {name.replace("_", "-"): value for name, value in headers.items()},
        method=method,
    )
    try:
        with urllib.request.urlopen(asked, timeout=60) as response:  # noqa: S310
            return response.status, response.read(), response.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def submit(served: Served, query: str = "", data: bytes | None = None, **job: object) -> str:
    """The path of a job that was taken on."""
    kind = "application/json" if data is None else "text/csv"
    body = data or json.dumps(job).encode()
    status, answer, headers = request(served, "POST", f"/iris/jobs{query}", body, Content_Type=kind)
    assert status == 202, answer
    return str(headers["Location"])


def job_at(served: Served, path: str) -> dict[str, Any]:
    found: dict[str, Any] = served.call(path)[1]
    return found


def wait_for(served: Served, path: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    late = time.monotonic() + 90
    while not is_so(job := job_at(served, path)):
        assert time.monotonic() < late, job
        time.sleep(0.02)
    return job


def has_ended(job: dict[str, Any]) -> bool:
    return job["state"] in ("done", "failed", "cancelled")


def flowers(seed: int, rows: int = ROWS) -> pl.DataFrame:
    values = np.random.default_rng(seed).uniform(0.1, 9, (rows, 4)).round(2)
    return pl.DataFrame(values, schema=NAMES)


def predictions(place: Place, frame: pl.DataFrame) -> list[str]:
    with Registry.open(place.settings) as registry:
        pipeline = registry.artefacts.load(registry.champion("iris"))
    found: list[str] = pipeline.predict(frame.to_numpy()).tolist()
    return found


def test_ten_jobs_all_end_once_and_right_while_the_worker_is_killed_three_times(
    place: Place, tmp_path: Path
) -> None:
    frames = [flowers(seed) for seed in range(10)]
    files = tmp_path / "files"
    with serving(place, "iris") as served:
        paths = []
        for at, frame in enumerate(frames):
            if at % 2:
                paths.append(submit(served, "?max_rejected=0", frame.write_csv().encode()))
            else:
                frame.write_parquet(files / f"{at}.parquet")
                paths.append(
                    submit(
                        served, input=f"{files}/{at}.parquet", output=f"{files}/{at}.scored.csv", proba=True
                    )
                )
        for nth in range(3):
            with working(place) as worker:
                under_way = wait_for_progress(served, paths[nth:])
                worker.send_signal(signal.SIGKILL)
                worker.wait()
            assert under_way
        with working(place):
            jobs = [wait_for(served, path, has_ended) for path in paths]
        assert [job["state"] for job in jobs] == ["done"] * 10, [job.get("error") for job in jobs]
        assert sum(job["attempts"] for job in jobs) >= 11
        assert all(job["manifest"]["rows"] == {**job["manifest"]["rows"], "scored": ROWS} for job in jobs)
        outputs = [
            pl.read_csv(request(served, "GET", f"{path}/output")[1])
            if at % 2
            else pl.read_csv(files / f"{at}.scored.csv")
            for at, path in enumerate(paths)
        ]
        listed = served.call("/iris/jobs?limit=100")[1]["jobs"]
    assert [job["links"]["self"] for job in listed] == paths[::-1]
    for frame, output in zip(frames, outputs, strict=True):
        assert output["prediction"].to_list() == predictions(place, frame)
    assert not [*files.glob(".*")], "nothing unfinished is left"


def wait_for_progress(served: Served, paths: list[str]) -> str:
    """The first of these jobs that is seen in the middle of its rows, or just begun."""
    late = time.monotonic() + 60
    while time.monotonic() < late:
        for job in served.call("/iris/jobs?limit=100")[1]["jobs"]:
            if job["state"] == "running":
                time.sleep(0.15)
                return str(job["id"])
        time.sleep(0.02)
    pytest.fail("no job runs")


def test_a_running_job_is_cancelled_and_another_is_stopped_and_goes_on(
    place: Place, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    frame = flowers(1, 3_000_000)
    frame.write_csv(files / "in.csv")
    with serving(place, "iris") as served:
        cancelled = submit(served, input=f"{files}/in.csv", output=f"{files}/cancelled.csv")
        stopped = submit(served, input=f"{files}/in.csv", output=f"{files}/stopped.csv")
        waiting = submit(served, input=f"{files}/in.csv", output=f"{files}/waiting.csv")
        assert request(served, "DELETE", waiting)[0] == 200
        with working(place):
            wait_for(served, cancelled, lambda job: "progress" in job)
            assert request(served, "DELETE", cancelled)[0] == 202
            assert wait_for(served, cancelled, has_ended)["state"] == "cancelled"
            wait_for(served, stopped, lambda job: "progress" in job)
        assert job_at(served, stopped)["state"] == "queued", "SIGTERM has put it back"
        with working(place):
            job = wait_for(served, stopped, has_ended)
        assert (job["state"], job["attempts"]) == ("done", 2)
        assert job["manifest"]["resumed_rows"] > 0
        assert job_at(served, waiting)["state"] == "cancelled"
    assert {path.name for path in files.iterdir()} == {"in.csv", "stopped.csv", "stopped.csv.manifest.json"}
    assert pl.read_csv(files / "stopped.csv")["prediction"].to_list() == predictions(place, frame)


def test_a_file_goes_up_and_its_result_comes_down_with_the_worker_that_serve_starts(place: Place) -> None:
    frame = flowers(2, 1000)
    text = frame.write_csv() + "1,2,3,99\n"
    with serving(place, "iris", "--worker") as served:
        status, _, headers = request(
            served,
            "POST",
            "/iris/jobs?keep=all&max_rejected=1&output_format=parquet",
            gzip.compress(text.encode()),
            Content_Type="text/csv",
            Content_Encoding="gzip",
        )
        assert status == 202
        job = wait_for(served, headers["Location"], has_ended)
        assert (job["state"], job["progress"]["rejected"]) == ("done", 1), job
        status, content, headers = request(served, "GET", job["links"]["output"])
        assert headers["Content-Type"] == "application/vnd.apache.parquet"
        rejected = request(served, "GET", job["links"]["rejected"])[1].decode()
        manifest = json.loads(request(served, "GET", job["links"]["manifest"])[1])
    scored = pl.read_parquet(content)
    assert scored.select(NAMES).cast(pl.Float64).equals(frame)
    assert scored["prediction"].to_list() == predictions(place, frame)
    assert "1002" in rejected
    assert manifest["rows"]["scored"] == 1000
    assert str(place.data_dir) not in json.dumps(job)


def test_jobs_that_were_accepted_survive_the_gateways_death(place: Place, tmp_path: Path) -> None:
    with serving(place, "iris") as served:
        [gateway] = [
            child
            for child in psutil.Process(served.process.pid).children(recursive=True)
            if child.cmdline()[-1:] == ["sepal.gateway"]
        ]
        paths = [submit(served, "", flowers(seed, 100).write_csv().encode()) for seed in range(5)]
        os.kill(gateway.pid, signal.SIGKILL)
        gateway.wait()
        late = time.monotonic() + 30
        while True:
            try:
                assert served.call("/livez")[0] == 200
            except OSError:
                assert time.monotonic() < late
                time.sleep(0.05)
            else:
                break
        with working(place):
            jobs = [wait_for(served, path, has_ended) for path in paths]
        for seed, job in enumerate(jobs):
            output = request(served, "GET", job["links"]["output"])[1]
            assert pl.read_csv(output)["prediction"].to_list() == predictions(place, flowers(seed, 100))
