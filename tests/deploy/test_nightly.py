"""The nightly script: one run at a time, and all of a run is dated by the day on which it began."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.deploy.conftest import ROOT
from tests.environment import clean
from tests.waiting import LONG, comes

SCRIPT = ROOT / "deploy" / "cron" / "nightly.sh"
SEPAL = """#!/bin/sh
echo "sepal $*" >> "$CALLS"
[ "$1" != score ] || { [ -f "$3" ] && cp "$3" "$4"; } || exit 4
[ "$1" != train ] || { while [ -e "$CALLS.hold" ]; do sleep 0.05; done; exit "${GATE:-0}"; }
"""
DATE = """#!/bin/sh
# The first day that is asked for is the thirteenth, and from then on it is the fourteenth.
if [ -e "$CALLS.asked" ]; then day=2026-11-14; else day=2026-11-13; touch "$CALLS.asked"; fi
case "$*" in *T*) echo "${day}T00:00:00Z" ;; *) echo "$day" ;; esac
"""


class Night:
    """A folder with a `sepal` that notes its calls, and maybe a `date` that passes midnight."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        self.programs = folder / "bin"
        self.programs.mkdir()
        (folder / "in").mkdir()
        self.program("sepal", SEPAL)
        self.program("make", '#!/bin/sh\necho "make $*" >> "$CALLS"\n')

    def program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def start(self, *steps: str, **environment: str) -> "subprocess.Popen[str]":
        own = {
            "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
            "BIN": str(self.programs),
            "CALLS": str(self.calls),
        }
        return subprocess.Popen(
            [SCRIPT, *steps],
            env={**clean(data_dir=self.folder), **own, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *steps: str, **environment: str) -> tuple[int, str]:
        """The exit code and what it says at the terminal."""
        process = self.start(*steps, **environment)
        _, said = process.communicate(timeout=LONG)
        return process.returncode, said

    def log(self, day: str) -> str:
        return (self.folder / "logs" / f"nightly-{day}.log").read_text()


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


def test_a_run_over_midnight_stays_with_the_day_on_which_it_began(night: Night) -> None:
    night.program("date", DATE)
    (night.folder / "in" / "iris-2026-11-13.csv").write_text("flowers")
    assert night.run("train", "score", "image") == (0, "")
    assert night.calls.read_text().splitlines() == [
        "sepal train iris --promote",
        f"sepal score iris {night.folder}/in/iris-2026-11-13.csv {night.folder}/out/iris-2026-11-13.csv"
        " --log-format plain",
        "make --no-print-directory bento-image IMAGE_TAG=2026-11-13",
    ]
    assert (night.folder / "out" / "iris-2026-11-13.csv").read_text() == "flowers"
    log = night.log("2026-11-13")
    assert "2026-11-14T00:00:00Z The run of 2026-11-13 is done." in log
    assert not list(night.folder.rglob("*2026-11-14*"))


def test_of_two_runs_at_once_one_runs_and_the_other_says_so_and_ends(night: Night) -> None:
    hold = night.folder / "calls.hold"
    hold.touch()
    first = night.start("train")
    assert comes(night.calls.exists)
    code, said = night.run("train")
    assert code == 75
    assert "Another nightly run is under way" in said
    hold.unlink()
    first.communicate(timeout=LONG)
    assert first.returncode == 0
    assert night.calls.read_text().count("sepal train") == 1
    assert night.run("train") == (0, "")


def test_a_version_that_its_gate_holds_back_does_not_keep_the_file_from_being_scored(night: Night) -> None:
    day = time.strftime("%Y-%m-%d")
    (night.folder / "in" / f"iris-{day}.csv").write_text("flowers")
    assert night.run(GATE="8") == (0, "")
    assert "did not let the new version of iris pass" in night.log(day)
    assert (night.folder / "out" / f"iris-{day}.csv").exists()


@pytest.mark.parametrize(("given", "code"), [({"GATE": "5"}, 5), ({}, 4)])
def test_a_step_that_fails_ends_the_run_with_its_code_and_is_named_in_the_log(
    night: Night, given: dict[str, str], code: int
) -> None:
    day = time.strftime("%Y-%m-%d")
    assert night.run(**given) == (code, "")
    step = "train iris" if given else "score iris"
    assert f"The run of {day} ended with code {code} at: {step}" in night.log(day)


def test_each_model_has_files_of_its_own(night: Night) -> None:
    day = time.strftime("%Y-%m-%d")
    for model in ("iris", "ride_duration"):
        (night.folder / "in" / f"{model}-{day}.csv").write_text(model)
    assert night.run("score", SEPAL_NIGHTLY_MODELS="iris ride_duration") == (0, "")
    outputs = sorted(path.name for path in (night.folder / "out").iterdir())
    assert outputs == [f"iris-{day}.csv", f"ride_duration-{day}.csv"]


def test_an_unknown_step_is_named(night: Night) -> None:
    assert night.run("paint")[0] == 2
    assert "There is no step paint" in night.log(time.strftime("%Y-%m-%d"))
