"""`sepal score` interrupted: killed, stopped, out of space, its input changed, or started twice.

SEPAL_TEST_KILLS=20 and SEPAL_TEST_KILL_ROWS=5000000 make the killing as thorough as it
is before a release.
"""

import os
import random
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import psutil
import pytest
from sqlalchemy import text

from sepal.registry import Registry
from sepal.settings import Settings
from tests.bulk.command import (
    HEADER,
    Place,
    frame_of,
    left_over,
    manifest_of,
    quarantine_of,
    random_irises,
)

KILLS = int(os.environ.get("SEPAL_TEST_KILLS", "6"))
KILL_ROWS = int(os.environ.get("SEPAL_TEST_KILL_ROWS", "1200000"))


@pytest.fixture(scope="module")
def irises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file of many irises, one in a thousand of them bad."""
    path = tmp_path_factory.mktemp("irises") / "in.csv"
    with path.open("wb") as file:
        file.write(f"{HEADER}\n".encode())
        for start in range(0, KILL_ROWS, 100_000):
            frame = frame_of(random_irises(min(100_000, KILL_ROWS - start), start).round(1))
            bad = pl.int_range(len(frame), eager=True) % 1000 == 17
            table = frame.with_columns(
                PetalWidthCm=pl.when(bad)
                .then(pl.lit("wide"))
                .otherwise(pl.col("PetalWidthCm").cast(pl.String))
            )
            file.write(table.write_csv(include_header=False).encode())
    return path


def published(output: Path) -> dict[str, bytes]:
    """All bytes of an output and of its quarantine."""
    files = output.rglob("*") if output.is_dir() else [output]
    found = {str(p.relative_to(output.parent)): p.read_bytes() for p in files if p.is_file()}
    return {**found, "rejected": output.with_name(f"{output.name}.rejected.csv").read_bytes()}


def journal_of(output: Path) -> Path:
    return output.with_name(f".{output.name}.sepal") / "journal.jsonl"


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def n_done(output: Path) -> int:
    """How many chunks are done."""
    try:
        return journal_of(output).read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("out.csv", ["--proba"]),
        ("out.csv.gz", []),
        ("out.parquet", ["--proba", "--keep", "PetalWidthCm"]),
        ("out", ["--partition-by", "prediction", "--row-id", "id"]),
    ],
)
def test_a_run_killed_at_random_moments_publishes_the_same_bytes(
    place: Place, irises: Path, tmp_path: Path, name: str, options: list[str]
) -> None:
    place = place.with_settings(bulk_memory="64MiB")
    place.score("iris", irises, tmp_path / "undisturbed" / name, *options)
    began = time.monotonic()
    output = tmp_path / "killed" / name
    generator = random.Random(name)  # noqa: S311 (no secret)
    kills = 0
    while kills < KILLS:
        before = n_done(output)
        process = place.start("score", "iris", irises, output, *options)
        wait_for(lambda: n_done(output) > before or process.poll() is not None)  # noqa: B023
        time.sleep(generator.uniform(0, 0.1))
        process.kill()
        process.communicate()
        if process.returncode == 0:
            break  # it was done before it could be killed
        assert process.returncode == -signal.SIGKILL
        kills += 1
        if output.exists():
            assert published(output) == published(tmp_path / "undisturbed" / name)
            break  # it was killed between publishing and its end
    place.score("iris", irises, output, *options)
    assert published(output) == published(tmp_path / "undisturbed" / name)
    assert kills >= KILLS - 2, f"only {kills} kills in {time.monotonic() - began:.0f} s"
    assert manifest_of(output)["rows"] == manifest_of(tmp_path / "undisturbed" / name)["rows"]
    assert len(quarantine_of(output)) == KILL_ROWS // 1000
    assert left_over(output.parent) == []


@contextmanager
def half_done(place: Place, irises: Path, output: Path) -> Iterator["subprocess.Popen[str]"]:
    """A run that has done a chunk and is halted, until the block ends."""
    process = place.with_settings(bulk_memory="64MiB").start("score", "iris", irises, output)
    try:
        wait_for(lambda: n_done(output) > 0)
        process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_says_so_and_is_resumed(
    place: Place, irises: Path, tmp_path: Path, number: signal.Signals
) -> None:
    place, output = place.with_settings(bulk_memory="64MiB"), tmp_path / "out.csv"
    process = place.start("score", "iris", irises, output)
    wait_for(lambda: n_done(output) > 0)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told == "Error: Stopped. What is done is kept: the same command goes on where this one stood.\n"
    assert not output.exists()
    place.score("iris", irises, output)
    assert 0 < manifest_of(output)["resumed_rows"] < KILL_ROWS
    assert manifest_of(output)["rows"]["read"] == KILL_ROWS


def test_a_second_run_for_the_same_output_says_who_is_running_and_stops(
    place: Place, irises: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"
    with half_done(place, irises, output) as process:
        told = place.fails("iris", irises, output, code=11)
        assert f"Another run is writing this output: process {process.pid} of " in told
        assert "Wait for it or stop it" in told


def test_an_input_that_changed_since_is_refused_until_the_run_begins_again(
    place: Place, irises: Path, tmp_path: Path
) -> None:
    path, output = tmp_path / "in.csv", tmp_path / "out.csv"
    shutil.copy(irises, path)
    small = place.with_settings(bulk_memory="64MiB")
    with half_done(place, path, output):
        pass
    content = path.read_bytes()
    status = path.stat()
    path.write_bytes(content + b"1,1,1,1\n")
    told = small.fails("iris", path, output, code=10)
    assert f"input files of {path}: bytes was {len(content)}, is {len(content) + 8}" in told
    path.write_bytes(content.replace(b"Cm\n", b"Cm\n9", 1)[: len(content)])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as large and as old as it was
    told = small.fails("iris", path, output, code=10)
    assert f"{path} has changed since the run began. Begin again with --restart." in told
    assert not output.exists()
    small.score("iris", path, output, "--restart")
    assert manifest_of(output)["resumed_rows"] == 0


@pytest.mark.parametrize("change", ["grown", "gone", "another"])
def test_an_input_that_changes_while_it_is_read_is_never_published(
    place: Place, irises: Path, tmp_path: Path, change: str
) -> None:
    (tmp_path / "in").mkdir()
    path, output = tmp_path / "in" / "in.csv", tmp_path / "out.csv"
    shutil.copy(irises, path)
    process = place.with_settings(bulk_memory="64MiB").start("score", "iris", tmp_path / "in", output)
    wait_for(lambda: n_done(output) > 0)
    if change == "grown":
        with path.open("a") as file:
            file.write("1,1,1,1\n")
    elif change == "gone":
        path.unlink()
    else:
        shutil.copy(irises, tmp_path / "in" / "more.csv")
    _, told = process.communicate(timeout=120)
    assert process.returncode == 10, told
    assert "has changed while it was read. Nothing is published. Begin again with --restart." in told
    assert not output.exists()


def test_a_run_that_is_resumed_otherwise_is_told_what_differs(
    place: Place, irises: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"
    with half_done(place, irises, output):
        pass
    small = place.with_settings(bulk_memory="64MiB")
    for options, told in (
        (["--proba"], "proba was False, is True"),
        (["--model-version", "rand_forest_2"], "version was 'log_reg_1', is 'rand_forest_2'"),
        (["--memory", "500MB"], "memory was"),
        (["--keep", "all"], "keep was [], is 'all'"),
    ):
        assert told in small.fails("iris", irises, output, *options, code=10)
    small.score("iris", irises, output, "--max-rejected", "5%", "--workers", "1")


def test_a_run_keeps_its_version_though_another_became_champion(
    place: Place, irises: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(place.environment["SEPAL_DATA_DIR"], data)
    there, output = place.with_settings(data_dir=data), tmp_path / "out.csv"
    with half_done(there, irises, output):
        pass
    with Registry.open(Settings(data_dir=data)) as registry, registry.writing() as connection:
        moved = text("UPDATE aliases SET number = 2 WHERE model = 'iris' AND alias = 'champion'")
        assert connection.execute(moved).rowcount == 1
    there.with_settings(bulk_memory="64MiB").score("iris", irises, output)
    assert manifest_of(output)["version"] == "log_reg_1"
    assert manifest_of(output)["resumed_rows"] > 0
    there.score("iris", irises, output, "--sample", "10")
    assert manifest_of(output)["version"] == "rand_forest_2"


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own, of some size; skips the test where none may be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_and_the_run_goes_on_once_there_is_room(
    place: Place, irises: Path, tmp_path: Path
) -> None:
    small = place.with_settings(bulk_memory="64MiB")
    small.score("iris", irises, tmp_path / "out.csv", "--proba")
    with small_disk(tmp_path / "disk", f"{(tmp_path / 'out.csv').stat().st_size // 2048}k") as disk:
        output = disk / "out.csv"
        for _ in range(2):
            told = small.fails("iris", irises, output, "--proba", code=12)
            assert f"No space is left for {disk / '.out.csv.sepal'}. Nothing is published" in told
            assert "make room and give the same command again" in told
            assert not output.exists()
        assert n_done(output) > 0
        subprocess.run(["mount", "-o", f"remount,size={KILL_ROWS // 3}k", disk], check=True)
        small.score("iris", irises, output, "--proba")
        assert published(output) == published(tmp_path / "out.csv")
        assert manifest_of(output)["resumed_rows"] > 0


def test_a_limit_on_the_size_of_files_is_told_like_a_full_disk(
    place: Place, irises: Path, tmp_path: Path
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    told = place.fails("iris", irises, tmp_path / "out.csv", "--proba", code=12, preexec_fn=limit)
    assert "No space is left for" in told


def peak_memory(process: "subprocess.Popen[str]") -> int:
    """The most bytes that a process, which ends, ever had."""
    peak, watched = 0, psutil.Process(process.pid)
    while process.poll() is None:
        try:
            peak = max(peak, watched.memory_info().rss)
        except psutil.Error:
            break
        time.sleep(0.01)
    return peak


@pytest.mark.parametrize("where", ["header", "row", "quoted"])
def test_a_line_of_a_gigabyte_is_told_in_bounded_memory(place: Place, tmp_path: Path, where: str) -> None:
    path, output = tmp_path / "in.csv", tmp_path / "out.csv"
    with path.open("wb") as file:  # sparse: the line is made of zero bytes
        file.write(b"" if where == "header" else f"{HEADER}\n1,1,1,1\n".encode())
        file.write(b'"' if where == "quoted" else b"")
        file.seek(1 << 30, os.SEEK_CUR)
        file.write(b"\n2,2,2,2\n")
    process = place.start("score", "iris", path, output, "--max-rejected", "1")
    told: list[str] = []
    reader = threading.Thread(target=lambda: told.extend(process.communicate()))
    reader.start()
    peak = peak_memory(process)
    reader.join()
    assert peak < 500e6, f"{peak / 1e6:.0f} MB"
    if where == "header":
        assert process.returncode == 5
        assert "The first line of" in told[1]
        return
    assert process.returncode == 0, told
    assert len(pl.read_csv(output)) == 2
    (row,) = quarantine_of(output)
    assert row["line"] == "3"
    assert (
        row["reason"].startswith("longer than 7,812,500 bytes")
        or "the longest that is read" in row["reason"]
    )
