"""Outputs elsewhere: what is made of them here goes once they are there, and the next run's work stays."""

from pathlib import Path

import pytest

from sepal.bulk import remote
from sepal.bulk.outputs import Output
from sepal.bulk.places import beside, folder_of
from sepal.settings import Settings

NOBODY = "127.0.0.1:9"
ADDRESS = f"s3://key:secret@bucket/out.csv?endpoint_override={NOBODY}&scheme=http&region=us-east-1"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    made = remote.local_output(ADDRESS, Settings(data_dir=tmp_path))
    folder_of(made).mkdir(parents=True)
    for path in (made, beside(made, "manifest.json"), beside(made, "rejected.csv")):
        path.write_text("x")
    return made


def test_what_is_uploaded_is_removed_here(made: Path) -> None:
    remote.remove(made, ADDRESS, folder_of(made))
    assert [path.name for path in made.parent.iterdir()] == [folder_of(made).name]
    assert (folder_of(made) / "uploaded").exists()
    (folder_of(made) / "uploaded").unlink()
    folder_of(made).rmdir()
    remote.remove_folder(made, ADDRESS)
    assert not made.parent.exists()


def test_the_work_of_the_next_run_stays(made: Path) -> None:
    remote.remove(made, ADDRESS, folder_of(made))
    journal = folder_of(made) / "journal.jsonl"  # of a run that began when the lock was free
    journal.write_text("{}\n")
    remote.remove_folder(made, ADDRESS)
    assert journal.read_text() == "{}\n"


def test_a_run_that_was_killed_once_all_was_uploaded_touches_nothing_there(made: Path) -> None:
    remote.remove(made, ADDRESS, folder_of(made))
    remote.upload(made, ADDRESS, Output("csv"))  # would fail: nobody is at that address


def test_an_output_on_this_machine_is_no_copy(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("x")
    remote.remove(tmp_path / "out.csv", str(tmp_path / "out.csv"), tmp_path)
    remote.remove_folder(tmp_path / "out.csv", str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_text() == "x"
