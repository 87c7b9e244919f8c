"""`sepal score` from and to a store of objects: moto's server, started here."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow.fs as fs
import pytest

from tests.bulk.command import HEADER, Place, frame_of, left_over, manifest_of, random_irises
from tests.ports import free_port
from tests.waiting import comes


@dataclass
class Store:
    """A running server, and this process's own way to it."""

    endpoint: str
    files: fs.S3FileSystem

    def url(self, path: str) -> str:
        """A path's address, with all that is needed to reach it."""
        return f"s3://key:secret@{path}?endpoint_override={self.endpoint}&scheme=http&region=us-east-1"

    def put(self, path: str, content: bytes) -> None:
        """Make an object."""
        with self.files.open_output_stream(path) as stream:
            stream.write(content)

    def get(self, path: str) -> bytes:
        """An object's bytes."""
        with self.files.open_input_file(path) as file:
            return bytes(file.read())

    def names(self, folder: str) -> list[str]:
        """What is in a folder and below."""
        infos = self.files.get_file_info(fs.FileSelector(folder, recursive=True))
        return sorted(info.path for info in infos if info.type == fs.FileType.File)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    endpoint = f"127.0.0.1:{port}"
    try:
        files = fs.S3FileSystem(
            access_key="key",
            secret_key="secret",  # noqa: S106 (of a server of this test's own)
            endpoint_override=endpoint,
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )
        assert comes(lambda: _listens(port))
        files.create_dir("bucket")
        yield Store(endpoint, files)
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def at_store(place: Place, store: Store) -> Place:
    """The place, with the store told by environment variables alone."""
    told = {
        "AWS_ENDPOINT_URL": f"http://{store.endpoint}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return Place({**place.environment, **told}, place.pipelines)


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.csv.gz"])
def test_objects_are_scored_to_the_bytes_that_files_are_scored_to(
    at_store: Place, store: Store, tmp_path: Path, name: str
) -> None:
    text = frame_of(random_irises(30_000)).write_csv().encode() + b"x,1,1,1\n"
    store.put("bucket/in.csv", text)
    (tmp_path / "in.csv").write_bytes(text)
    at_store.score("iris", "s3://bucket/in.csv", f"s3://bucket/scored/{name}", "--proba")
    at_store.score("iris", tmp_path / "in.csv", tmp_path / name, "--proba")
    assert store.get(f"bucket/scored/{name}") == (tmp_path / name).read_bytes()
    assert b"SepalLengthCm,not a number" in store.get(f"bucket/scored/{name}.rejected.csv")
    assert b'"scored": 30000' in store.get(f"bucket/scored/{name}.manifest.json")
    assert not list((Path(at_store.environment["SEPAL_DATA_DIR"]) / "bulk").rglob("*.*"))


def test_a_url_may_say_where_the_store_is_and_its_secrets_are_not_told(
    place: Place, store: Store, tmp_path: Path
) -> None:
    store.put("bucket/in/a.csv", f"{HEADER}\n1,1,1,1\n".encode())
    store.put("bucket/in/b.csv", f"{HEADER}\n2,2,2,2\n".encode())
    for address, n_rows in (("bucket/in", 2), ("bucket/in/*.csv", 2), ("bucket/in/b.csv", 1)):
        told = place.score("iris", store.url(address), tmp_path / "out.csv")
        assert len(pl.read_csv(tmp_path / "out.csv")) == n_rows
        assert "secret" not in told.stdout + str(manifest_of(tmp_path / "out.csv"))
    told = place.score("iris", tmp_path / "out.csv", store.url("bucket/o.csv"), code=5)
    assert "secret" not in told.stderr
    message = place.fails("iris", store.url("bucket/nowhere.csv"), tmp_path / "out.csv", code=4)
    assert "There is no file at s3://bucket/nowhere.csv" in message
    assert left_over(tmp_path) == []


def test_a_partitioned_output_takes_the_place_of_its_own_objects_alone(
    at_store: Place, store: Store, tmp_path: Path
) -> None:
    for n_rows, seed in ((200, 1), (3, 2)):
        frame_of(random_irises(n_rows, seed)).write_csv(tmp_path / "in.csv")
        at_store.score("iris", tmp_path / "in.csv", "s3://bucket/parts", "--partition-by", "prediction")
        labels = manifest_of_object(store, "bucket/parts.manifest.json")
        assert store.names("bucket/parts") == [
            f"bucket/parts/prediction={label}/part-0.parquet" for label in labels
        ]
    store.put("bucket/parts/precious.txt", b"precious")
    told = at_store.fails(
        "iris", tmp_path / "in.csv", "s3://bucket/parts", "--partition-by", "prediction", code=5
    )
    assert "s3://bucket/parts has other things in it" in told
    assert store.get("bucket/parts/precious.txt") == b"precious"


def manifest_of_object(store: Store, path: str) -> list[str]:
    """The labels that an output has, in the order of their names."""
    import json

    predictions = json.loads(store.get(path))["predictions"]
    return sorted(label for label, count in predictions.items() if count)


def test_an_output_that_can_not_be_sent_is_kept_and_sent_by_the_next_run(
    at_store: Place, store: Store, tmp_path: Path
) -> None:
    frame_of(random_irises(2000)).write_csv(tmp_path / "in.csv")
    target = "s3://no-such-bucket/out.csv"
    told = at_store.fails("iris", tmp_path / "in.csv", target, code=12)
    assert f"{target} can't be written" in told
    assert "The output is whole in" in told
    store.files.create_dir("no-such-bucket")
    told = at_store.score("iris", tmp_path / "in.csv", target).stdout
    assert store.get("no-such-bucket/out.csv").count(b"\n") == 2001
