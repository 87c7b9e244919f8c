"""Makes an output in a work folder, killed at each line of its code in turn; for test_work.py.

`python -m tests.bulk.killed_work FOLDER file|folder STRIDE` prints how many kills there
were, or what was wrong after one. A process that forks: so it is a small one of its own.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from sepal import durable
from sepal.bulk import journal, locking, work
from sepal.bulk.outputs import OUTPUT, REJECTED, Output, Segment
from sepal.bulk.places import beside, folder_of
from sepal.bulk.rows import Done, Position
from sepal.bulk.work import Entry, WorkFolder

PLAN: dict[str, Any] = {"version": "log_reg_1", "input files": [{"path": "a.csv", "bytes": 7}]}
N_CHUNKS = 3

_TRACED = [module.__file__ for module in (work, journal, locking, durable)]


def entry(number: int) -> Entry:
    """The journal's line for one chunk."""
    end = Position(10 * (number + 1), number + 2)
    return Entry(0, Done(end, f"{number:064}"), 5, number % 2, {"x missing": number % 2}, {"a": 5})


def segments(number: int, kind: str) -> list[Segment]:
    """The bytes of one chunk; every other one has rejected rows."""
    data = f"chunk {number}\n".encode() * 100
    path = OUTPUT if kind == "file" else f"{OUTPUT}/k={number % 2}/part-0.parquet"
    made = [Segment(path, data, b"" if kind == "file" else _FOOTER)]
    return [*made, Segment(REJECTED, b"rejected\n")] if number % 2 else made


def output_of(kind: str) -> Output:
    """A CSV file, or a folder of files that are told apart by a key."""
    return Output("csv") if kind == "file" else Output("parquet", None, ("k",))


def make(output: Path, kind: str) -> None:
    """Make an output, or go on where an earlier run was killed."""
    with WorkFolder.open(folder_of(output), output_of(kind), PLAN) as opened:
        if opened.finished is None:
            for number in range(len(opened.entries), N_CHUNKS):
                opened.commit(entry(number), segments(number, kind))
            opened.finish({"rows": N_CHUNKS})
        opened.publish(output)
        opened.remove()


def contents(folder: Path) -> dict[str, str]:
    """All files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes().hex()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _parquet_footer() -> bytes:
    from io import BytesIO

    import polars as pl

    from sepal.bulk.parquet_footer import RowGroup

    file = BytesIO()
    pl.DataFrame({"a": [1]}).write_parquet(file)
    return RowGroup.of_file(file.getvalue()).footer


def _make_killed_at(line: int, output: Path, kind: str) -> bool:
    """Whether a process was killed before it came to its end."""
    process = os.fork()
    if process == 0:
        left = line

        def count(frame: FrameType, event: str, argument: object) -> Any:  # noqa: ANN401 (a trace function)
            nonlocal left
            if frame.f_code.co_filename not in _TRACED:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os._exit(9)
            return count

        sys.settrace(count)
        make(output, kind)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9


def _check(folder: Path, kind: str, stride: int) -> str:
    make(folder / "undisturbed" / "out", kind)
    wanted = contents(folder / "undisturbed")
    line, kills = 1, 0
    while True:
        place = folder / "killed"
        if line % 2:  # over an earlier output
            make(place / "out", kind)
            beside(place / "out", "rejected.csv").write_text("old")
        killed = _make_killed_at(line, place / "out", kind)
        make(place / "out", kind)
        if (found := contents(place)) != wanted:
            return f"killed at line {line}: {json.dumps(found)} instead of {json.dumps(wanted)}"
        if not killed:
            return f"{kills} kills"
        shutil.rmtree(place)
        line, kills = line + stride, kills + 1


if __name__ == "__main__":
    _FOOTER = _parquet_footer()
    print(_check(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))  # noqa: T201 (its answer)
