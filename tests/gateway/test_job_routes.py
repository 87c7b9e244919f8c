"""The routes of jobs over HTTP, with a real queue and real files; workers have tests of their own."""

import asyncio
import gzip
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sepal.bulk.places import folder_of as work_folder_of
from sepal.gateway.app import create_app
from sepal.gateway.uploads import Upload
from sepal.jobs import folders
from sepal.jobs.queue import JobQueue
from sepal.jobs.records import Progress, Record, State
from sepal.settings import Settings
from tests.gateway.conftest import FakeModelServer, call, gateway, settings_for
from tests.waiting import LONG

CSV = {"Content-Type": "text/csv"}
ROWS = b"SepalLengthCm,SepalWidthCm,PetalLengthCm,PetalWidthCm\n5,2,3,4\n"


@pytest.fixture
def settings(model_server: FakeModelServer, tmp_path: Path) -> Settings:
    return settings_for(
        model_server,
        data_dir=tmp_path / "data",
        jobs_locations=(f"{tmp_path}/in", "s3://flowers/"),
        jobs_upload_bytes=2**20,
        jobs_uploads=1,
        jobs_queued=30,
    )


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[aiohttp.ClientSession]:
    async with gateway(settings) as session:
        yield session


def kept(settings: Settings) -> list[Path]:
    """Every file of jobs that is on the disk."""
    return [path for path in settings.jobs_folder.rglob("*") if path.is_file()]


def with_queue(settings: Settings, do: Callable[[JobQueue], Any]) -> Any:  # noqa: ANN401
    queue = JobQueue(settings, "iris")
    try:
        return do(queue)
    finally:
        queue.close()


def run_next(settings: Settings, state: State, error: str | None = None, rejected: int = 0) -> Record:
    """End the next job as a worker would, with these files."""

    def do(queue: JobQueue) -> Record:
        taken = queue.take()
        assert taken is not None
        record, lease = taken[0].record, taken[1]
        queue.tell(record, Progress(rows=3, rejected=rejected, share=1, rows_per_second=30))
        if state is State.done:
            queue.keep_manifest(record, '{"rows": {"scored": 3}}')
        queue.end(record, lease, state, error)
        return record

    made: Record = with_queue(settings, do)
    return made


async def test_a_job_is_taken_on_and_found_again(
    client: aiohttp.ClientSession, settings: Settings, tmp_path: Path
) -> None:
    job = {"input": f"{tmp_path}/in/a.csv", "output": "s3://flowers/out.csv", "proba": True, "keep": ["id"]}
    status, body, headers = await call(client, "POST", "/iris/jobs", json=job)
    assert status == 202
    assert headers["Location"] == f"/iris/jobs/{body['id']}" == body["links"]["self"]
    assert (body["state"], body["model"], body["attempts"]) == ("queued", "iris", 0)
    assert {name: body["request"][name] for name in job} == job
    assert (await call(client, "GET", headers["Location"]))[1] == body
    assert (await call(client, "GET", "/iris/jobs"))[1] == {"jobs": [body]}
    assert (await call(client, "GET", "/ride_duration/jobs"))[1] == {"jobs": []}
    assert (await call(client, "GET", f"/ride_duration/jobs/{body['id']}"))[0] == 404


async def test_a_jobs_progress_end_and_manifest_are_shown(
    client: aiohttp.ClientSession, settings: Settings
) -> None:
    for _ in range(2):
        await call(client, "POST", "/iris/jobs", data=ROWS, headers=CSV)
    done = run_next(settings, State.done, rejected=1)
    failed = run_next(settings, State.failed, "The file is empty.")
    body = (await call(client, "GET", f"/iris/jobs/{done.identity.id}"))[1]
    assert (body["state"], body["manifest"], body["progress"]["rows"]) == (
        "done",
        {"rows": {"scored": 3}},
        3,
    )
    assert set(body["links"]) == {"self", "output", "rejected", "manifest"}
    body = (await call(client, "GET", f"/iris/jobs/{failed.identity.id}"))[1]
    assert (body["state"], body["error"], body["attempts"]) == ("failed", "The file is empty.", 1)
    assert set(body["links"]) == {"self"}


async def test_pages_go_from_the_newest_to_the_oldest(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    ids = []
    for _ in range(5):
        ids.append(  # noqa: PERF401 (one after the other)
            (await call(client, "POST", "/iris/jobs", json={"input": f"{tmp_path}/in/a.csv"}))[1]["id"]
        )
    seen, query = [], "?limit=2"
    while True:
        page = (await call(client, "GET", f"/iris/jobs{query}"))[1]
        seen += [job["id"] for job in page["jobs"]]
        if "cursor" not in page:
            break
        query = f"?limit=2&cursor={page['cursor']}"
    assert seen == ids[::-1]
    status, body, _ = await call(client, "GET", "/iris/jobs?limit=101")
    assert (status, body["errors"][0]["pointer"]) == (422, "?limit")


async def test_a_job_is_cancelled_and_one_that_has_ended_is_not(
    client: aiohttp.ClientSession, settings: Settings
) -> None:
    paths = [
        (await call(client, "POST", "/iris/jobs", data=ROWS, headers=CSV))[2]["Location"] for _ in "abc"
    ]
    assert (await call(client, "DELETE", paths[0]))[1]["state"] == "cancelled"
    assert (await call(client, "DELETE", paths[0]))[0] == 200
    with_queue(settings, lambda queue: queue.take())  # the hint of the first
    with_queue(settings, lambda queue: queue.take())
    status, body, _ = await call(client, "DELETE", paths[1])
    assert (status, body["state"], body["cancelling"]) == (202, "running", True)
    run_next(settings, State.done)
    status, body, _ = await call(client, "DELETE", paths[2])
    assert (status, body["title"]) == (409, "Job has ended")
    assert (await call(client, "DELETE", "/iris/jobs/9-none"))[0] == 404


async def test_the_same_key_gives_the_same_job(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    headers, job = {"Idempotency-Key": "monday"}, {"input": f"{tmp_path}/in/a.csv"}
    first = await call(client, "POST", "/iris/jobs", json=job, headers=headers)
    again = await call(client, "POST", "/iris/jobs", json=job, headers=headers)
    assert first[:2] == again[:2]
    status, body, _ = await call(client, "POST", "/iris/jobs", json={**job, "proba": True}, headers=headers)
    assert (status, body["title"]) == (422, "Idempotency key reused")
    assert len((await call(client, "GET", "/iris/jobs"))[1]["jobs"]) == 1


async def test_the_same_upload_with_the_same_key_is_kept_once(
    client: aiohttp.ClientSession, settings: Settings
) -> None:
    headers = {**CSV, "Idempotency-Key": "monday"}
    first = await call(client, "POST", "/iris/jobs", data=ROWS, headers=headers)
    again = await call(client, "POST", "/iris/jobs", data=ROWS, headers=headers)
    assert first[:2] == again[:2]
    assert (await call(client, "POST", "/iris/jobs", data=ROWS * 2, headers=headers))[0] == 422
    assert [path.read_bytes() for path in kept(settings)] == [ROWS]


@pytest.mark.parametrize(
    "places",
    [
        {"input": "/etc/passwd"},
        {"input": "/etc/no-such-file"},
        {"input": "{in}/../secret.csv"},
        {"input": "a.csv"},
        {"input": "file:///etc/passwd"},
        {"input": "s3://others/a.csv"},
        {"input": "{in}/a.csv", "output": "/etc/cron.d/x.csv"},
    ],
)
async def test_places_that_are_not_allowed_are_refused(
    client: aiohttp.ClientSession, settings: Settings, tmp_path: Path, places: dict[str, str]
) -> None:
    job = {name: place.replace("{in}", f"{tmp_path}/in") for name, place in places.items()}
    status, body, _ = await call(client, "POST", "/iris/jobs", json=job)
    assert (status, body["title"]) == (403, "Location not allowed")
    assert "SEPAL_JOBS_LOCATIONS" in body["detail"]
    if "output" in job:
        query = f"/iris/jobs?output={job['output']}"
        assert (await call(client, "POST", query, data=ROWS, headers=CSV))[0] == 403
    assert (await call(client, "GET", "/iris/jobs"))[1] == {"jobs": []}
    assert kept(settings) == []


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"", 400, "The body is no JSON"),
        (b"{", 400, "The body is no JSON"),
        (b"[]", 422, "A job is an object"),
        (b"{}", 422, "input: Field required"),
        (b'{"input": 1}', 422, "input: Input should be a valid string"),
        (b'{"input": "a", "inptu": 1}', 422, "inptu: Extra inputs"),
        (b'{"input": "a", "max_rejected": "1.5"}', 422, "max_rejected: give a count"),
        (b" " * 2**17, 413, "too large"),
    ],
)
async def test_a_job_that_is_no_job_is_told_what_is_wrong(
    client: aiohttp.ClientSession, body: bytes, status: int, told: str
) -> None:
    headers = {"Content-Type": "application/json"}
    got, problem, _ = await call(client, "POST", "/iris/jobs", data=body, headers=headers)
    assert got == status
    assert told in problem["detail"]


async def test_options_that_do_not_go_together_are_told(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    job = {"input": f"{tmp_path}/in/a.csv", "output": f"{tmp_path}/in/b.csv", "partition_by": ["id"]}
    status, body, _ = await call(client, "POST", "/iris/jobs", json=job)
    assert (status, body["detail"]) == (422, "Only Parquet can be partitioned: give --format parquet.")
    assert (await call(client, "POST", "/iris/jobs?proba=true", json=job))[0] == 422
    status, body, _ = await call(client, "POST", "/iris/jobs?encoding=klingon", data=ROWS, headers=CSV)
    assert (status, "there is no encoding 'klingon'" in str(body)) == (422, True)


async def test_options_that_do_not_go_with_the_contract_are_told_before_a_job_is_kept(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    name = "probability_Iris-setosa"
    job = {"input": f"{tmp_path}/in/a.csv", "proba": True, "prediction_name": name}
    status, body, _ = await call(client, "POST", "/iris/jobs", json=job)
    assert (status, body["title"]) == (422, "Wrong job")
    assert f"would be '{name}'" in body["detail"]
    job = {"input": f"{tmp_path}/in/a.csv", "label_names": {"Rose": "a"}}
    status, body, _ = await call(client, "POST", "/iris/jobs", json=job)
    assert (status, "no label 'Rose'" in body["detail"]) == (422, True)
    path = f"/iris/jobs?proba=true&prediction_name={name}"
    status, body, _ = await call(client, "POST", path, data=ROWS, headers=CSV)
    assert (status, f"would be '{name}'" in body["detail"]) == (422, True)
    assert (await call(client, "GET", "/iris/jobs"))[1] == {"jobs": []}


@pytest.mark.parametrize(
    ("headers", "name", "stored"),
    [
        ({"Content-Type": "text/csv"}, "input.csv", "output.csv"),
        ({"Content-Type": "text/csv", "Content-Encoding": "gzip"}, "input.csv.gz", "output.csv"),
        (
            {"Content-Type": "application/x-ndjson", "Content-Encoding": "zstd"},
            "input.jsonl.zst",
            "output.jsonl",
        ),
        ({"Content-Type": "application/vnd.apache.parquet"}, "input.parquet", "output.parquet"),
    ],
)
async def test_a_file_is_kept_as_it_is_sent(
    client: aiohttp.ClientSession, settings: Settings, headers: dict[str, str], name: str, stored: str
) -> None:
    sent = gzip.compress(ROWS)
    status, body, _ = await call(client, "POST", "/iris/jobs", data=sent, headers=headers)
    assert status == 202
    assert {
        path.relative_to(settings.jobs_folder).as_posix(): path.read_bytes() for path in kept(settings)
    } == {f"iris-{body['id']}/{name}": sent}
    assert run_next(settings, State.done).stored == stored


async def test_the_options_of_a_file_are_parameters(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    query = f"keep=id&keep=day&proba=true&max_rejected=5&output_format=parquet&output={tmp_path}/in/out.pq"
    headers = {"Content-Type": "text/csv; charset=latin-1"}
    status, body, _ = await call(client, "POST", f"/iris/jobs?{query}", data=ROWS, headers=headers)
    assert status == 202
    asked = body["request"]
    assert (asked["keep"], asked["proba"], asked["encoding"]) == (["id", "day"], True, "iso8859-1")
    body = (await call(client, "POST", "/iris/jobs?keep=all&delimiter=%09", data=ROWS, headers=CSV))[1]
    assert (body["request"]["keep"], body["request"]["delimiter"]) == ("all", "\t")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("sample=none", "?sample: Input should be a valid integer"),
        ("sampel=1", "?sampel: Extra inputs"),
        ("input=/etc/passwd", "leave out the parameter input"),
    ],
)
async def test_a_wrong_parameter_is_told_and_nothing_is_kept(
    client: aiohttp.ClientSession, settings: Settings, query: str, told: str
) -> None:
    status, body, _ = await call(client, "POST", f"/iris/jobs?{query}", data=ROWS, headers=CSV)
    assert status == 422
    assert told in body["detail"]
    assert kept(settings) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "text/csv", "Content-Encoding": "br"},
        {"Content-Type": "application/vnd.apache.parquet", "Content-Encoding": "gzip"},
    ],
)
async def test_another_kind_of_body_is_refused(
    client: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    assert (await call(client, "POST", "/iris/jobs", data=ROWS, headers=headers))[0] == 415


async def test_a_file_past_the_bound_is_refused_and_leaves_nothing(
    client: aiohttp.ClientSession, settings: Settings
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 2**15

    assert (await call(client, "POST", "/iris/jobs", data=BytesIO(b"x" * (2**20 + 1)), headers=CSV))[
        0
    ] == 413
    assert (await call(client, "POST", "/iris/jobs", data=endless(), headers=CSV))[0] == 413
    assert (await call(client, "POST", "/iris/jobs", data=b"", headers=CSV))[0] == 400
    assert kept(settings) == []
    assert (await call(client, "POST", "/iris/jobs", data=BytesIO(b"x" * 2**20), headers=CSV))[0] == 202


async def test_so_many_files_are_received_at_once_and_one_that_breaks_off_leaves_nothing(
    client: aiohttp.ClientSession, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield ROWS
        await waiting.wait()

    first = asyncio.create_task(call(client, "POST", "/iris/jobs", data=slow(), headers=CSV))
    while not kept(settings):  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(0.01)
    status, body, headers = await call(client, "POST", "/iris/jobs", data=ROWS, headers=CSV)
    assert (status, body["title"], headers["Retry-After"]) == (503, "Overloaded", "1")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    while kept(settings):  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(0.01)
    assert (await call(client, "POST", "/iris/jobs", data=ROWS, headers=CSV))[0] == 202
    assert "unexpectedly" not in caplog.text


async def test_a_disk_that_can_not_be_written_is_told(
    client: aiohttp.ClientSession, settings: Settings
) -> None:
    settings.data_dir.mkdir()
    settings.jobs_folder.touch()
    status, body, _ = await call(client, "POST", "/iris/jobs", data=ROWS, headers=CSV)
    assert (status, body["detail"]) == (507, "The file can't be kept: Not a directory.")


def test_an_upload_takes_the_place_of_the_same_one_that_an_earlier_try_left(tmp_path: Path) -> None:
    for name in ("job", "incoming"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "input.csv").write_bytes(ROWS)
    Upload(tmp_path / "incoming", "").move_to(tmp_path / "job")
    assert [path.name for path in tmp_path.iterdir()] == ["job"]
    with pytest.raises(Exception, match="The file can't be kept: No such file"):
        Upload(tmp_path / "none", "").move_to(tmp_path / "nowhere")


async def test_a_full_queue_and_one_that_is_away_are_503(settings: Settings, tmp_path: Path) -> None:
    job = {"input": f"{tmp_path}/in/a.csv"}
    async with gateway(settings.model_copy(update={"jobs_queued": 1})) as client:
        assert (await call(client, "POST", "/iris/jobs", json=job))[0] == 202
        status, _, headers = await call(client, "POST", "/iris/jobs", json=job)
        assert (status, headers["Retry-After"]) == (503, "1")
        assert (await call(client, "POST", "/iris/jobs", data=ROWS, headers=CSV))[0] == 503
    away = settings.model_copy(update={"jobs_queue_url": "postgresql://sepal@127.0.0.1:1/sepal"})
    async with gateway(away) as client:
        for method, path in (("POST", "/iris/jobs"), ("GET", "/iris/jobs"), ("DELETE", "/iris/jobs/1-a")):
            status, body, _ = await call(client, method, path, json=job if method == "POST" else None)
            assert (status, body["title"]) == (503, "Queue of jobs unavailable")


async def test_what_was_accepted_is_found_by_its_key_though_the_queue_is_full(
    settings: Settings, tmp_path: Path
) -> None:
    job, key = {"input": f"{tmp_path}/in/a.csv"}, {"Idempotency-Key": "monday"}
    async with gateway(settings.model_copy(update={"jobs_queued": 1})) as client:
        first = await call(client, "POST", "/iris/jobs", json=job, headers=key)
        assert (await call(client, "POST", "/iris/jobs", json=job, headers=key))[:2] == first[:2]
        assert first[0] == 202
        run_next(settings, State.done)
        upload = {**CSV, "Idempotency-Key": "tuesday"}
        first = await call(client, "POST", "/iris/jobs", data=ROWS, headers=upload)
        assert (await call(client, "POST", "/iris/jobs", data=ROWS, headers=upload))[:2] == first[:2]
        assert first[0] == 202
        assert (await call(client, "POST", "/iris/jobs", data=ROWS * 2, headers=upload))[0] == 422
        for name in ("wednesday", "thursday"):
            other = {**CSV, "Idempotency-Key": name}
            assert (await call(client, "POST", "/iris/jobs", data=ROWS, headers=other))[0] == 503


async def test_results_are_downloaded_under_a_name_of_their_own(
    client: aiohttp.ClientSession, settings: Settings
) -> None:
    path = (await call(client, "POST", "/iris/jobs", data=ROWS, headers=CSV))[2]["Location"]
    assert (await call(client, "GET", f"{path}/output"))[0] == 409
    assert (await call(client, "GET", f"{path}/rejected"))[0] == 404
    record = run_next(settings, State.done, rejected=1)
    assert (await call(client, "GET", f"{path}/output"))[0] == 404, "somebody has removed it"
    made = folders.output_of(settings, record)
    assert made is not None
    made.write_bytes(b"prediction\n" * 100_000)
    made.with_name("output.csv.rejected.csv").write_bytes(b"line\n2\n")
    async with client.get(f"{path}/output") as response:
        assert await response.read() == made.read_bytes()
        assert response.content_type == "text/csv"
        assert response.headers["Content-Disposition"] == (
            f'attachment; filename="iris-{record.identity.id}.csv"'
        )
    async with client.get(f"{path}/rejected") as response:
        assert await response.read() == b"line\n2\n"
    async with client.get(f"{path}/manifest") as response:
        assert await response.json() == {"rows": {"scored": 3}}
        assert response.headers["Content-Disposition"].endswith('.manifest.json"')


async def test_a_head_request_for_a_result_has_the_headers_of_a_get_and_reads_nothing(
    client: aiohttp.ClientSession, settings: Settings
) -> None:
    path = (await call(client, "POST", "/iris/jobs", data=ROWS, headers=CSV))[2]["Location"]
    made = folders.output_of(settings, run_next(settings, State.done))
    assert made is not None
    made.touch()
    os.truncate(made, 2**40)  # more than anybody reads in an hour
    for asked in ({}, {"Range": "bytes=5-"}):
        async with asyncio.timeout(30), client.head(f"{path}/output", headers=asked) as response:
            told = dict(response.headers)
        async with client.get(f"{path}/output", headers=asked) as response:
            assert (response.status, response.headers["Accept-Ranges"]) == (206 if asked else 200, "bytes")
            own = {"X-Request-ID": told["X-Request-ID"], "Date": told.get("Date", "")}
            assert {**response.headers, **own} == {"Date": "", **told}
            response.close()
    assert told["Content-Range"] == f"bytes 5-{2**40 - 1}/{2**40}"


@pytest.mark.parametrize("reads", [True, False], ids=["a slow reader", "who reads nothing"])
async def test_a_download_is_cut_off_only_if_its_client_takes_nothing_up(
    settings: Settings, reads: bool
) -> None:
    size, seconds = 20_000_000, 1.0
    async with gateway(settings.model_copy(update={"client_timeout": seconds})) as client:
        path = (await call(client, "POST", "/iris/jobs", data=ROWS, headers=CSV))[2]["Location"]
        made = folders.output_of(settings, run_next(settings, State.done))
        assert made is not None
        made.write_bytes(b"prediction\n" * (size // 11))
        assert client._base_url is not None
        loop, received = asyncio.get_running_loop(), 0
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            slow.setblocking(False)
            await loop.sock_connect(slow, (client._base_url.host, client._base_url.port))
            await loop.sock_sendall(slow, f"GET {path}/output HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            for _ in range(40 if reads else 0):
                received += len(await loop.sock_recv(slow, 3000))
                await asyncio.sleep(seconds / 10)
            if reads:
                async with asyncio.timeout(LONG):
                    while received < made.stat().st_size:
                        received += len(some := await loop.sock_recv(slow, 2**20))
                        assert some, "it was cut off"
            else:
                async with asyncio.timeout(LONG):
                    while (await refusals(client)).get("slow client") != 1:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)


async def refusals(client: aiohttp.ClientSession) -> dict[str, float]:
    """How often something was refused before it became a request, by the reason."""
    async with client.get("/metrics") as response:
        text = await response.text()
    return {
        sample.labels["reason"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "sepal_refusals_total"
    }


async def test_the_rejected_rows_of_a_job_that_failed_are_there(
    client: aiohttp.ClientSession, settings: Settings
) -> None:
    await call(client, "POST", "/iris/jobs?output_format=parquet", data=ROWS, headers=CSV)
    record = run_next(settings, State.failed, "Too many.", rejected=3)
    made = folders.output_of(settings, record)
    assert made is not None
    work_folder_of(made).mkdir()
    (work_folder_of(made) / "rejected.csv").write_bytes(b"line\n2\n")
    async with client.get(f"/iris/jobs/{record.identity.id}/rejected") as response:
        assert (await response.read(), response.content_type) == (b"line\n2\n", "text/csv")
    assert (await call(client, "GET", f"/iris/jobs/{record.identity.id}/output"))[0] == 409


async def test_a_result_elsewhere_is_not_downloaded(
    client: aiohttp.ClientSession, settings: Settings, tmp_path: Path
) -> None:
    job = {"input": f"{tmp_path}/in/a.csv", "output": f"{tmp_path}/in/out.csv"}
    path = (await call(client, "POST", "/iris/jobs", json=job))[2]["Location"]
    run_next(settings, State.done)
    for what, place in (("output", ""), ("rejected", ".rejected.csv")):
        status, body, _ = await call(client, "GET", f"{path}/{what}")
        assert (status, body["detail"]) == (404, f"It is not kept here, but at {job['output']}{place}.")
    assert (await call(client, "GET", f"{path}/manifest"))[0] == 200


async def test_a_model_that_is_not_served_has_no_jobs(client: aiohttp.ClientSession) -> None:
    for method, path in (
        ("GET", ""),
        ("POST", ""),
        ("GET", "/1-a"),
        ("DELETE", "/1-a"),
        ("GET", "/1-a/output"),
    ):
        status, body, _ = await call(client, method, f"/tulips/jobs{path}")
        assert status == 404
        assert "tulips" in body["detail"]
    assert (await call(client, "GET", "/iris/jobs/1-a/secrets"))[0] == 404
    for path, allowed in (("/iris/jobs", "GET, POST"), ("/iris/jobs/1-a", "DELETE, GET")):
        status, _, headers = await call(client, "PUT", path)
        assert (status, headers["Allow"]) == (405, allowed)


def test_the_document_shows_every_kind_of_body_and_every_option() -> None:
    document = create_app(Settings()).openapi()
    submit = document["paths"]["/iris/jobs"]["post"]
    assert set(submit["requestBody"]["content"]) == {
        *("application/json", "text/csv", "application/x-ndjson", "application/vnd.apache.parquet")
    }
    examples = submit["requestBody"]["content"]["application/json"]["examples"]
    assert examples["output to download"]["value"]["input"].startswith("s3://")
    names = {parameter["name"] for parameter in submit["parameters"]}
    assert {"Idempotency-Key", "output", "keep", "proba", "max_rejected"} <= names
    assert "input" not in names
    assert json.loads(json.dumps(document)) == document


def test_jobs_connect_to_nothing_before_they_are_asked_for(tmp_path: Path) -> None:
    create_app(Settings(data_dir=tmp_path / "data"))
    assert not (tmp_path / "data").exists()
