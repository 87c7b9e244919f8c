"""The engine spark: here and on a cluster, the same rows, quarantine and counts as the local engine."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from sepal.bulk.job import Job
from sepal.bulk.locking import locked
from sepal.bulk.places import folder_of
from sepal.bulk.run import run as run_here
from sepal.contracts import Contract
from sepal.contracts.catalogue import load_contracts
from sepal.contracts.iris import contract as iris
from sepal.contracts.ride_duration import contract as ride_duration
from sepal.errors import (
    ConfigurationError,
    DataError,
    OutputBusyError,
    ResumeError,
    TooManyRejectedError,
)
from sepal.registry import Registry
from sepal.scoring import dumps, linear
from sepal.scoring.evaluators import compiled_classifier
from sepal.scoring.proof import random_rows
from sepal.settings import Settings
from tests.drafts import draft_of, small_pipeline
from tests.ports import free_port

MISSING = " and ".join(
    [name for name in ("pyspark", "pandas") if find_spec(name) is None]
    + ([] if shutil.which("java") else ["Java"])
)
pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(bool(MISSING), reason=f"Spark needs {MISSING}, which is not here"),
]
if not MISSING:
    from sepal.bulk.spark import session
    from sepal.bulk.spark.run import run as run_on_spark

ROOT = Path(__file__).parents[2]
FEATURES = [column.name for column in iris.columns]
NO_SCREEN = "--conf spark.ui.enabled=false --conf spark.ui.showConsoleProgress=false pyspark-shell"
WITHIN_SECONDS = 120


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings under which two megabytes of text are several spans, and a version of each model."""
    settings = Settings.model_validate(
        {"data_dir": tmp_path_factory.mktemp("data"), "bulk_memory": 2**26, "bulk_span": 1000}
    )
    classifier = small_pipeline()
    evaluator = compiled_classifier(classifier)
    assert isinstance(evaluator, linear.LinearClassifier)
    rows = random_rows(ride_duration, 500)
    regressor = make_pipeline(SimpleImputer(), LinearRegression()).fit(rows, np.arange(500))
    with Registry.open(settings) as registry:
        registry.register(draft_of(classifier, evaluator=dumps.dump(evaluator)))
        signature = ride_duration.signature
        registry.register(
            draft_of(regressor, model="ride_duration", algorithm="lin_reg", contract_signature=signature)
        )
    return settings


@pytest.fixture(scope="module")
def _spark() -> Iterator[None]:
    """Spark on two cores of this machine, for all tests that want it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_SUBMIT_ARGS", NO_SCREEN)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        spark = session.start("local[2]")
        spark.sparkContext.setLogLevel("OFF")
        yield
        spark.stop()


on_two_cores = pytest.mark.usefixtures("_spark")


def irises(n_rows: int) -> pl.DataFrame:
    """Random rows of the iris contract, with a note each; some notes have quotes and line breaks."""
    rng = np.random.default_rng(4)
    values = {name: rng.uniform(0.1, 8, n_rows).round(2) for name in FEATURES}
    notes = [f'of "{at}",\nor so' if at % 97 == 0 else f"of {at}" for at in range(n_rows)]
    return pl.DataFrame({"note": notes, **values})


def spoiled(text: str) -> str:
    """CSV text with bad rows of every kind, spread over all of it."""
    bad = ["x,1,2,3", 'x,"1,2,3,4', "x,1,2,3,many", "x,,2,3,4", 'x "y" z,1,2,3,4', "x,1,2,3,4e9"] * 3
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(bad):
        at = len(lines) * (number + 1) // (len(bad) + 1)
        while lines[at - 1].count('"') % 2:
            at += 1
        lines.insert(at, line + "\n")
    return "".join(lines)


def job_of(source: Path, output: Path, **changes: Any) -> Job:  # noqa: ANN401
    return Job(**{"model": "iris", "input": str(source), "output": str(output), **changes})


def both(job: Job, settings: Settings, contract: Contract = iris) -> tuple[Path, Path]:
    """The outputs of the local engine and of Spark, once quarantines and counts are found the same."""
    here, there = (Path(job.output).parent / engine / Path(job.output).name for engine in ("here", "there"))
    for output in (here, there):
        output.parent.mkdir()
    expected = run_here(job.model_copy(update={"output": str(here)}), contract, settings)
    run_on_spark(job.model_copy(update={"output": str(there)}), contract, settings)
    manifest = manifest_of(there)
    assert manifest["engine"] == "spark"
    for told in ("version", "artefact_sha256", "input", "rows", "rejected_by_reason", "predictions"):
        assert manifest[told] == expected[told], told
    assert quarantine_of(there) == quarantine_of(here)
    assert (quarantine_of(here) is None) == (expected["rows"]["rejected"] == 0)
    assert not folder_of(there).exists()
    return here, there


def manifest_of(output: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(output.with_name(f"{output.name}.manifest.json").read_bytes())
    return manifest


def quarantine_of(output: Path) -> str | None:
    path = output.with_name(f"{output.name}.rejected.csv")
    return path.read_text() if path.exists() else None


def parts_of(output: Path) -> list[Path]:
    return sorted(path for path in output.rglob("part-*"))


def csv_of(parts: list[bytes]) -> bytes:
    """Parts of CSV as one, with the header of the first."""
    return parts[0] + b"".join(part.partition(b"\n")[2] for part in parts[1:])


def assert_the_same_frame(here: pl.DataFrame, there: pl.DataFrame) -> None:
    plain = here.with_columns(pl.col("prediction", "model_version").cast(pl.String))
    assert there.equals(plain.cast(dict(there.schema)))  # type: ignore[arg-type]  # a mapping is taken


@on_two_cores
def test_csv_with_quoted_line_breaks_and_bad_rows_is_scored_as_by_the_local_engine(
    tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "in.csv").write_text(spoiled(irises(90_000).write_csv()))
    job = job_of(tmp_path / "in.csv", tmp_path / "out.csv", keep="all", proba=True, row_id="id")
    here, there = both(job, settings)
    parts = parts_of(there)
    assert len(parts) > 2
    assert csv_of([part.read_bytes() for part in parts]) == here.read_bytes()
    assert len((quarantine_of(there) or "").splitlines()) > 10


@on_two_cores
def test_compressed_text_is_one_span_a_file_and_can_be_written_compressed(
    tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("b", "a"):
        text = spoiled(irises(20_000).write_csv()).encode()
        (tmp_path / "in" / f"{name}.csv.gz").write_bytes(gzip.compress(text, 1))
    here, there = both(job_of(tmp_path / "in", tmp_path / "out.csv.gz", row_id="id"), settings)
    parts = parts_of(there)
    assert [path.name.partition(".")[2] for path in parts] == ["c000.csv.gz"] * 2
    unpacked = csv_of([gzip.decompress(part.read_bytes()) for part in parts])
    assert unpacked == gzip.decompress(here.read_bytes())


@on_two_cores
def test_json_lines_are_scored_as_by_the_local_engine(tmp_path: Path, settings: Settings) -> None:
    lines = irises(25_000).write_ndjson().splitlines(keepends=True)
    lines[20_000:20_000] = ["no object\n", "\n", lines[1].replace(":", ':"', 1).replace(",", '",', 1)]
    (tmp_path / "in.jsonl").write_text("".join(lines))
    here, there = both(job_of(tmp_path / "in.jsonl", tmp_path / "out.jsonl", keep=("note",)), settings)
    parts = parts_of(there)
    assert len(parts) > 2
    assert {path.suffix for path in parts} == {".jsonl"}
    assert b"".join(part.read_bytes() for part in parts) == here.read_bytes()


@on_two_cores
def test_parquet_is_scored_as_by_the_local_engine_in_types_that_spark_has(
    tmp_path: Path, settings: Settings
) -> None:
    frame = irises(30_000).with_columns(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("number"),
        pl.datetime(2024, 1, 1, time_unit="ns").alias("Time of day"),
        pl.when(pl.int_range(pl.len()) == 20_000)
        .then(-1.0)
        .otherwise(pl.col(FEATURES[0]))
        .alias(FEATURES[0]),
    )
    frame.write_parquet(tmp_path / "in.parquet", row_group_size=7_000)
    small = settings.model_copy(update={"bulk_memory": 2**20})
    job = job_of(tmp_path / "in.parquet", tmp_path / "out.parquet", keep="all", proba=True)
    here, there = both(job, small)
    assert len(parts_of(there)) > 2
    assert_the_same_frame(pl.read_parquet(here), pl.concat(map(pl.read_parquet, parts_of(there))))


@on_two_cores
def test_an_output_is_partitioned_in_the_inputs_order_and_quantities_have_the_same_quantiles(
    tmp_path: Path, settings: Settings
) -> None:
    rides = pl.DataFrame({c.name: [c.example] * 6_000 for c in ride_duration.columns if not c.optional})
    pickups = pl.datetime(2023, 11, 30) + pl.duration(hours=pl.int_range(pl.len()))
    time_of = next(column.name for column in ride_duration.columns if column.kind == "time")
    rides.with_columns(pickups.alias(time_of)).write_parquet(tmp_path / "in.parquet", row_group_size=2_500)
    small = settings.model_copy(update={"bulk_memory": 2**20})
    job = job_of(
        tmp_path / "in.parquet",
        tmp_path / "out",
        model="ride_duration",
        row_id="ride_id",
        partition_by=("year", "month"),
    )
    here, there = both(job, small, ride_duration)
    folders = sorted(path for path in here.glob("year=*/month=*"))
    assert len(folders) > 8
    for folder in folders:
        made = parts_of(there / folder.relative_to(here))
        assert_the_same_frame(
            pl.read_parquet(parts_of(folder)[0], hive_partitioning=False),
            pl.concat(pl.read_parquet(part, hive_partitioning=False) for part in made),
        )


@on_two_cores
def test_a_file_that_has_only_a_header_gives_an_output_with_its_columns(
    tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "in.csv").write_text(",".join(FEATURES) + "\n")
    here, there = both(job_of(tmp_path / "in.csv", tmp_path / "out.csv"), settings)
    assert [part.read_bytes() for part in parts_of(there)] == [here.read_bytes()]
    run_on_spark(job_of(tmp_path / "in.csv", tmp_path / "out.parquet"), iris, settings)
    (part,) = parts_of(tmp_path / "out.parquet")
    assert pl.read_parquet(part).columns == ["prediction", "model_version"]


@on_two_cores
def test_more_rejected_rows_than_allowed_leave_the_output_as_it_was_and_name_the_quarantine(
    tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "in.csv").write_text(",".join(FEATURES) + "\n1,2,3,4\n1,2,3\n")
    (tmp_path / "out.csv").write_text("of yesterday")
    job = job_of(tmp_path / "in.csv", tmp_path / "out.csv")
    with pytest.raises(TooManyRejectedError, match=r"1 of 2 rows.*Look at (/.*rejected\.csv)\.") as raised:
        run_on_spark(job, iris, settings)
    quarantine = Path(str(raised.value).rpartition("Look at ")[2].removesuffix("."))
    assert "3 values, the header has 4" in quarantine.read_text()
    assert (tmp_path / "out.csv").read_text() == "of yesterday"
    run_on_spark(job.model_copy(update={"max_rejected": "1"}), iris, settings)
    assert (tmp_path / "out.csv").is_dir()
    assert not quarantine.exists()


@on_two_cores
def test_a_file_that_turns_out_to_be_damaged_is_told_in_one_line(
    tmp_path: Path, settings: Settings
) -> None:
    packed = gzip.compress(irises(50_000).write_csv().encode(), 1)
    (tmp_path / "in.csv.gz").write_bytes(packed[: len(packed) * 3 // 4])
    with pytest.raises(DataError, match=r"^\S+in\.csv\.gz can't be read to its end: [^\n]+$"):
        run_on_spark(job_of(tmp_path / "in.csv.gz", tmp_path / "out.csv"), iris, settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv.gz"]


@on_two_cores
def test_an_output_that_another_run_is_making_is_left_to_it(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "in.csv").write_text(",".join(FEATURES) + "\n1,2,3,4\n")
    job = job_of(tmp_path / "in.csv", tmp_path / "out.csv")
    with locked(folder_of(tmp_path / "out.csv")), pytest.raises(OutputBusyError):
        run_on_spark(job, iris, settings)
    (folder_of(tmp_path / "out.csv") / "plan.json").write_text("{}")
    with pytest.raises(ResumeError, match="--engine local"):
        run_on_spark(job, iris, settings)
    run_on_spark(job, iris, settings, restart=True)
    assert len(parts_of(tmp_path / "out.csv")) == 1


@on_two_cores
def test_what_lies_in_the_outputs_place_and_is_no_output_is_not_touched(
    tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "in.csv").write_text(",".join(FEATURES) + "\n1,2,3,4\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letters.txt").write_text("dear all")
    for output, told in (("data", "is an input, too"), ("home", "such as letters.txt")):
        job = job_of(tmp_path / "data" / "in.csv", tmp_path / output, output_format="csv")
        with pytest.raises(DataError, match=told):
            run_on_spark(job, iris, settings)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letters.txt"]


@on_two_cores
def test_a_contract_from_a_folder_of_its_own_goes_with_the_job(tmp_path: Path) -> None:
    source = Path(str(iris.source)).read_text().replace('"iris"', '"lily"')
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "lily.py").write_text(source)
    contract = load_contracts([tmp_path / "contracts"])["lily"]
    settings = Settings.model_validate({"data_dir": tmp_path / "data"})
    with Registry.open(settings) as registry:
        registry.register(draft_of(small_pipeline(), model="lily", contract_signature=contract.signature))
    (tmp_path / "in.csv").write_text(",".join(FEATURES) + "\n1,2,3,4\n")
    here, there = both(job_of(tmp_path / "in.csv", tmp_path / "out.csv", model="lily"), settings, contract)
    assert [part.read_bytes() for part in parts_of(there)] == [here.read_bytes()]


def test_what_the_engine_needs_and_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"Java 17.*JAVA_HOME"):
        session.start("local[1]")
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'sepal\[spark\]'"), session.opened(None):
        pass


class Cluster:
    """A standalone master and workers, each a process group of its own."""

    def __init__(self, folder: Path) -> None:
        import pyspark

        self._home = Path(pyspark.__file__).parent
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        port = str(free_port())
        self.url = f"spark://127.0.0.1:{port}"
        self._start("master.Master", "--host", "127.0.0.1", "--port", port, "--webui-port", "0")

    def add_worker(self, name: str) -> subprocess.Popen[bytes]:
        """A worker with one core."""
        options = ("--cores", "1", "--memory", "1g", "--host", "127.0.0.1", "--webui-port", "0")
        return self._start("worker.Worker", *options, "--work-dir", str(self._folder / name), self.url)

    def wait_for(self, told: str, times: int) -> None:
        """Wait until the log has a text so many times."""
        wait_until(lambda: (self._folder / "log").read_text().count(told) >= times)

    def stop(self) -> None:
        """Kill what runs."""
        for process in self._processes:
            kill(process)

    def _start(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        environment = {**environment_of(), "SPARK_HOME": str(self._home), "SPARK_LOCAL_IP": "127.0.0.1"}
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [self._home / "bin" / "spark-class", f"org.apache.spark.deploy.{name}", *options],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process


def environment_of() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "PYSPARK_PYTHON": sys.executable}


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and the executors that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN_SECONDS
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Cluster(folder)
    yield cluster
    cluster.stop()


def test_a_cluster_gives_each_row_once_though_a_worker_is_killed_in_the_middle(
    tmp_path: Path, settings: Settings, cluster: Cluster
) -> None:
    victim = cluster.add_worker("one")
    cluster.add_worker("two")
    (tmp_path / "in.csv").write_text(spoiled(irises(500_000).write_csv()))
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    expected = run_here(job_of(tmp_path / "in.csv", here, row_id="id"), iris, settings)
    cluster.wait_for("Registering worker", 2)
    command = [sys.executable, "-m", "sepal.cli", "score", "iris"]
    options = ["--row-id", "id", "--engine", "spark", "--master", cluster.url, "--log-format", "json"]
    with subprocess.Popen(
        [*command, str(tmp_path / "in.csv"), str(there), *options],
        env={
            **environment_of(),
            "SEPAL_DATA_DIR": str(settings.data_dir),
            "SEPAL_BULK_MEMORY": str(settings.bulk_memory),
            "SEPAL_BULK_SPAN": str(settings.bulk_span),
            "PYSPARK_SUBMIT_ARGS": NO_SCREEN,
            "SPARK_LOCAL_IP": "127.0.0.1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        committed = folder_of(there) / "spark" / "written" / "_temporary" / "0"
        wait_until(lambda: len([*committed.glob("task_*")]) >= 3 or process.poll() is not None)
        kill(victim)
        told, errors = process.communicate(timeout=WITHIN_SECONDS)
    assert process.returncode == 0, errors
    assert "Lost executor" in errors
    done = json.loads(told.splitlines()[-1])
    assert {"event": "done", "engine": "spark", "master": cluster.url}.items() <= done.items()
    for name in ("input", "rows", "rejected_by_reason", "predictions"):
        assert done[name] == expected[name], name
    assert len(parts_of(there)) > 10
    assert csv_of([part.read_bytes() for part in parts_of(there)]) == here.read_bytes()
    assert quarantine_of(there) == quarantine_of(here)
