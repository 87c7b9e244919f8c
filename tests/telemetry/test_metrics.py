"""Instruments, what several processes of a tier make together, and how Prometheus reads it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sepal.telemetry import sharing
from sepal.telemetry.exposition import Exposition
from sepal.telemetry.metrics import Metrics
from tests.samples import samples_in
from tests.waiting import comes


def samples(exposition: Exposition) -> dict[str, float]:
    """What it tells."""
    return samples_in(exposition.text().decode())


def counted(**counts: int) -> Metrics:
    metrics = Metrics()
    requests = metrics.counter("sepal_requests_total", "Requests.", "endpoint")
    for endpoint, count in counts.items():
        requests.add(endpoint, amount=count)
    metrics.gauge("sepal_workers", "Workers.", read=lambda: {(): 1})
    metrics.gauge("sepal_info", "Info.", "version", read=lambda: {("one",): 1}, total="max")
    metrics.histogram("sepal_seconds", "Seconds.", "endpoint", bounds=(0.1, 1)).of("a").observe(0.5)
    return metrics


def test_one_process_tells_its_own() -> None:
    metrics = counted(a=2)
    histogram = metrics.instruments["sepal_seconds"]
    for value in (0.1, 0.05, 7):
        histogram.of("a").observe(value)  # type: ignore[union-attr]  # a histogram
    exposition = Exposition(metrics)
    assert samples(exposition) == {
        "sepal_requests_total a": 2,
        "sepal_workers": 1,
        "sepal_info one": 1,
        "sepal_seconds_bucket a 0.1": 2,
        "sepal_seconds_bucket a 1": 3,
        "sepal_seconds_bucket a +Inf": 4,
        "sepal_seconds_count a": 4,
        "sepal_seconds_sum a": 7.65,
    }
    exposition.close()


def test_a_counter_may_be_counted_elsewhere() -> None:
    metrics = Metrics()
    metrics.counter("sepal_dropped_total", "Dropped.").read = lambda: {(): 5}
    assert samples(Exposition(metrics)) == {"sepal_dropped_total": 5}


def test_two_instruments_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="sepal_workers"):
        counted().gauge("sepal_workers", "Again.", read=dict)


def test_each_process_tells_the_total_of_all(tmp_path: Path) -> None:
    one, two = Exposition(counted(a=2), tmp_path), Exposition(counted(a=3, b=1), tmp_path)
    for told in (samples(one), samples(two)):
        assert told["sepal_requests_total a"] == 5
        assert told["sepal_requests_total b"] == 1
        assert told["sepal_workers"] == 2
        assert told["sepal_info one"] == 1
        assert told["sepal_seconds_count a"] == 2
    one.close()
    two.close()


def test_what_a_process_counts_comes_to_the_others_by_itself(tmp_path: Path) -> None:
    metrics = counted(a=1)
    one, two = Exposition(metrics, tmp_path), Exposition(counted(), tmp_path)
    metrics.instruments["sepal_requests_total"].add("a")  # type: ignore[union-attr]  # a counter
    assert comes(lambda: samples(two)["sepal_requests_total a"] == 2)
    one.close()
    two.close()


def test_the_counts_of_a_process_that_has_ended_stay_and_its_gauges_go(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = tmp_path / f"{ended.pid}-0.json"
    dead.write_text(json.dumps(counted(a=4).snapshot()))
    os.utime(dead, (0, 0))
    one = Exposition(counted(a=1), tmp_path)
    assert samples(one)["sepal_requests_total a"] == 5
    assert samples(one)["sepal_workers"] == 1
    assert not dead.exists()  # added to those before
    one.close()
    stopped = tmp_path / f"{os.getpid()}-0.json"
    stopped.write_text(json.dumps(counted(a=1).snapshot()))
    os.utime(stopped, (0, 0))
    again = Exposition(counted(), tmp_path)
    told = samples(again)
    assert told["sepal_requests_total a"] == 6
    assert told["sepal_workers"] == 2  # the two expositions of this process
    again.close()


HOLDS_A_FOLDER = """
import time
from sepal.telemetry import sharing
print(sharing.make_folder(), flush=True)
time.sleep(600)
"""


def test_folders_that_no_process_holds_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead, new = tmp_path / "sepal-metrics-7-dead", tmp_path / "sepal-metrics-7-new"
    for folder in (dead, new, tmp_path / "sepal-metrics-of-mine"):
        folder.mkdir()
        if folder is not new:
            os.utime(folder, (0, 0))
    first = sharing.make_folder()
    os.utime(first, (0, 0))
    second = sharing.make_folder()
    assert set(tmp_path.iterdir()) == {first, second, new, tmp_path / "sepal-metrics-of-mine"}
    assert sharing.environment_for(1) == {sharing.FOLDER_VARIABLE: ""}
    monkeypatch.setenv(sharing.FOLDER_VARIABLE, "")
    assert sharing.folder_of_this_start() is None
    monkeypatch.setenv(sharing.FOLDER_VARIABLE, str(first))
    assert sharing.folder_of_this_start() == first


def test_a_folder_is_not_swept_while_its_process_lives_be_it_in_another_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of such a process says nothing here: nobody may have it, or somebody else."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", HOLDS_A_FOLDER]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        made = Path(holder.stdout.readline().strip())
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        elsewhere = made.rename(tmp_path / f"sepal-metrics-{ended.pid}-elsewhere")
        os.utime(elsewhere, (0, 0))
        sharing.make_folder()
        assert elsewhere.exists()
        holder.kill()
        holder.wait()
    sharing.make_folder()
    assert not elsewhere.exists()


def test_a_worker_holds_its_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / "sepal-metrics-7-x"
    folder.mkdir()
    worker = Exposition(counted(a=1), folder)
    os.utime(folder, (0, 0))
    sharing.make_folder()
    assert folder.exists()
    worker.close()
    os.utime(folder, (0, 0))
    sharing.make_folder()
    assert not folder.exists()
