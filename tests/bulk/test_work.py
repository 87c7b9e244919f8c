"""The work folder: killed or torn anywhere, taken up right; one run at a time; published once and whole."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sepal.bulk.outputs import OUTPUT, REJECTED, Output, Segment
from sepal.bulk.places import beside, folder_of
from sepal.bulk.work import WorkFolder
from sepal.errors import OutputBusyError, ResumeError, StorageError
from tests.bulk.killed_work import N_CHUNKS, PLAN, entry, make, segments

CSV = Output("csv")


@contextmanager
def opened(output: Path, plan: dict[str, Any] = PLAN, *, restart: bool = False) -> Iterator[WorkFolder]:
    with WorkFolder.open(folder_of(output), CSV, plan, restart=restart) as work:
        yield work


def begin(output: Path, n_chunks: int = N_CHUNKS) -> Path:
    """The work folder of a run that was killed after some chunks."""
    with opened(output) as work:
        for number in range(n_chunks):
            work.commit(entry(number), segments(number, "file"))
    return folder_of(output)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def wanted(tmp_path: Path) -> bytes:
    make(tmp_path / "undisturbed", "file")
    return (tmp_path / "undisturbed").read_bytes()


@pytest.mark.parametrize(("kind", "stride"), [("file", 7), ("folder", 17)])
def test_a_run_that_is_killed_at_any_line_of_its_code_is_taken_up_right(
    tmp_path: Path, kind: str, stride: int
) -> None:
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.bulk.killed_work", str(tmp_path), kind, str(stride)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    found = re.fullmatch(r"(\d+) kills", told.stdout.strip())
    assert found, told.stdout + told.stderr
    assert int(found[1]) > 12


def test_what_is_done_is_found_again_and_no_more(output: Path) -> None:
    begin(output, 2)
    with opened(output) as work:
        assert work.entries == [entry(0), entry(1)]
        assert work.has(OUTPUT)
        assert work.has(REJECTED)
        assert work.finished is None


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_line_of_the_journal_is_no_line(output: Path, wanted: bytes, cut: int) -> None:
    journal = begin(output) / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    with opened(output) as work:
        assert len(work.entries) == N_CHUNKS - 1
    make(output, "file")
    assert output.read_bytes() == wanted


def test_nothing_after_a_line_that_is_no_json_is_believed(output: Path, wanted: bytes) -> None:
    journal = begin(output) / "journal.jsonl"
    first, second, third = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(first + b"\0" * len(second) + b"\n" + third)
    with opened(output) as work:
        assert work.entries == [entry(0)]
    make(output, "file")
    assert output.read_bytes() == wanted


@pytest.mark.parametrize("name", [OUTPUT, REJECTED])
@pytest.mark.parametrize("damage", ["changed", "short", "gone", "longer"])
def test_what_a_damaged_file_held_is_made_again(
    output: Path, wanted: bytes, name: str, damage: str
) -> None:
    part = begin(output) / name
    content = part.read_bytes()
    made = {"changed": b"?" + content[1:], "short": content[:-1], "longer": content + b"more"}
    part.unlink() if damage == "gone" else part.write_bytes(made[damage])
    with opened(output) as work:
        assert (len(work.entries) == N_CHUNKS) is (damage == "longer")
    make(output, "file")
    assert output.read_bytes() == wanted
    assert beside(output, "rejected.csv").read_bytes() == b"rejected\n"


def test_an_earlier_quarantine_goes_when_nothing_is_rejected_any_more(output: Path) -> None:
    beside(output, "rejected.csv").write_text("old")
    with opened(output) as work:
        work.commit(entry(0), segments(0, "file"))
        work.finish({})
        work.publish(output)
        work.publish(output)
        work.remove()
    assert not beside(output, "rejected.csv").exists()
    assert {path.name for path in output.parent.iterdir()} == {"out", "out.manifest.json"}


def test_the_manifest_tells_length_and_hash_of_every_file(output: Path) -> None:
    make(output, "file")
    told = json.loads(beside(output, "manifest.json").read_text())["files"]
    assert told[OUTPUT]["bytes"] == output.stat().st_size
    digest = subprocess.run(["sha256sum", output], capture_output=True, text=True, check=True).stdout[:64]
    assert told[OUTPUT]["sha256"] == digest
    assert set(told) == {OUTPUT, REJECTED}


def test_a_second_run_for_the_same_output_is_told_who_has_it(output: Path) -> None:
    with (
        opened(output),
        pytest.raises(
            OutputBusyError, match=rf"process {os.getpid()} of \w+ on .*, since \d{{4}}-.*out\.sepal"
        ),
        opened(output),
    ):
        pass
    with opened(output):
        pass


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ({**PLAN, "version": "log_reg_2"}, "version was 'log_reg_1', is 'log_reg_2'"),
        (
            {**PLAN, "input files": [{"path": "a.csv", "bytes": 8}]},
            r"input files of a\.csv: bytes was 7, is 8",
        ),
        ({**PLAN, "input files": [*PLAN["input files"], {"path": "b.csv"}]}, "input files were 1, are 2"),
        ({**PLAN, "proba": True}, "proba was None, is True"),
    ],
)
def test_a_run_that_was_begun_otherwise_is_refused_with_what_differs(
    output: Path, plan: dict[str, Any], told: str
) -> None:
    begin(output)
    with (
        pytest.raises(ResumeError, match=rf"begun otherwise: {told}\. Give the same again.*--restart"),
        opened(output, plan),
    ):
        pass
    with opened(output, plan, restart=True) as work:
        assert work.entries == []
        assert not work.has(OUTPUT)


def test_a_published_output_can_be_made_anew_at_once_from_other_things(output: Path) -> None:
    make(output, "file")
    with opened(output, {**PLAN, "proba": True}) as work:
        assert work.finished is None


def test_what_a_killed_end_of_a_run_left_is_swept_away(output: Path) -> None:
    left = output.parent / ".out.sepal.done"
    left.mkdir()
    (left / "manifest.json").write_text("{}")
    make(output, "file")
    assert not left.exists()


def test_a_folder_of_no_rows_is_published_empty(tmp_path: Path) -> None:
    output = tmp_path / "folder"
    with WorkFolder.open(folder_of(output), Output("parquet", None, ("k",)), PLAN) as work:
        work.finish({"rows": 0})
        work.publish(output)
        work.remove()
    assert output.is_dir()
    assert not list(output.iterdir())


def test_a_folder_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    output = tmp_path / "folder"
    for keys in (("a", "b"), ("b",)):
        with WorkFolder.open(folder_of(output), Output("csv", None, ("k",)), PLAN) as work:
            work.commit(entry(0), [Segment(f"{OUTPUT}/k={key}/part-0.parquet", b"x") for key in keys])
            work.finish({})
            work.publish(output)
            work.remove()
    assert [path.name for path in output.iterdir()] == ["k=b"]


def test_a_place_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match=r"file.*can't be written: Not a directory"),
        opened(tmp_path / "file" / "out"),
    ):
        pass
    with (
        pytest.raises(StorageError, match="can't be written: File name too long"),
        opened(tmp_path / ("x" * 250)),
    ):
        pass


def test_the_manifest_is_on_the_disk_before_it_has_its_name(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed, fsync = set[int](), os.fsync

    def note(descriptor: int) -> None:
        fsync(descriptor)
        flushed.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", note)
    with opened(output) as work:
        work.commit(entry(0), segments(0, "file"))
        work.finish({})
        work.publish(output)
    for path in (output, beside(output, "manifest.json")):
        assert path.stat().st_ino in flushed, path.name
