"""JSON Lines: in a file as in a request, a number is no text, and text no number."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from sepal.bulk.answers import Answers, Model
from sepal.bulk.job import Job
from sepal.bulk.plan import Plan
from sepal.contracts import Contract, Features, Integer, Quantity, WallClock, feature
from sepal.registry import Version
from sepal.settings import Settings


class Thing(Features):
    """A feature of each kind, required and optional."""

    number: Annotated[float, Field(gt=0, le=30)] = feature(example=1.0, description="")
    maybe: Annotated[float, Field(gt=0, le=30)] | None = feature(example=1.0, description="", optional=True)
    whole: Annotated[Integer, Field(ge=0, le=30)] | None = feature(example=1, description="", optional=True)
    flag: bool = feature(example=True, description="")
    perhaps: bool | None = feature(example=True, description="", optional=True)
    size: Literal["1", "true", "2.5", "[1]", "big"] = feature(example="1", description="")
    seen: Annotated[WallClock, Field(ge=datetime(2000, 1, 1), le=datetime(2030, 1, 1))] | None = feature(
        example="2019-01-15T08:30:00", description="", optional=True
    )


CONTRACT = Contract("things", Thing, Quantity("answer", unit="m", example=1.0))
GOOD: dict[str, Any] = {
    "number": 1.5,
    "maybe": None,
    "whole": 2,
    "flag": True,
    "perhaps": False,
    "size": "1",
    "seen": "2019-01-15T08:30:00",
}
VALUES = [
    *(5, 5.1, "5.1", "5", True, False, "true", "True", 1, 0, "1", "2.5", 2.5, 1e3, [1], "[1]", [], {}),
    *("big", " ", None, "null", "nan", 10**30, [None], {"a": 1}),
]
STRANGE = [{**GOOD, name: value} for name in GOOD for value in VALUES if (name, value) != ("seen", " ")]
"""But for a blank time: in files blank text is missing."""


def taken_rows(
    rows: list[dict[str, Any]], folder: Path, version: Version, keep: tuple[str, ...] = ()
) -> list[bool]:
    """Whether bulk scoring takes each of the rows."""
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = Job(model="things", input=str(path), output=str(folder / "out.csv"), keep=keep)
    plan = Plan.make(job, CONTRACT, Settings(data_dir=folder))
    reader = plan.reader(plan.files[0])
    model = Model(CONTRACT, version, lambda rows: Answers([], None, lambda _: {}))
    scorer = plan.scorer(model, plan.files[0], reader)
    wrong = set[int]()
    for chunk in reader.chunks():
        read = chunk.parse()
        _, kept, rejected = scorer._encode(read)
        wrong |= {row.line for row in [*read.rejected, *rejected]}
        assert len(kept) + len(rejected) == len(read.frame)
    return [at + 1 not in wrong for at in range(len(rows))]


def is_taken(row: dict[str, Any]) -> bool:
    """Whether the gateway takes a row."""
    try:
        Thing.model_validate_json(json.dumps(row))
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("keep", [(), (*GOOD,), ("maybe", "number")], ids=str)
def test_a_file_of_strange_rows_is_taken_where_the_gateway_takes_each(
    keep: tuple[str, ...], tmp_path: Path, version: Version
) -> None:
    taken = taken_rows(STRANGE, tmp_path, version, keep)
    differing = [row for row, is_in in zip(STRANGE, taken, strict=True) if is_in is not is_taken(row)]
    assert differing == []
    assert 20 < sum(taken) < len(taken) / 2


def test_a_broken_line_among_them_changes_nothing_for_the_others(tmp_path: Path, version: Version) -> None:
    rows = [GOOD, {**GOOD, "maybe": "5.1"}, {**GOOD, "number": True}, {**GOOD, "size": 1}, GOOD]
    assert taken_rows(rows, tmp_path, version) == [True, False, False, False, True]
    path = tmp_path / "in.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], "no object\n", "\n", *lines[2:]]))
    job = Job(model="things", input=str(path), output=str(tmp_path / "out.csv"))
    plan = Plan.make(job, CONTRACT, Settings(data_dir=tmp_path))
    [chunk] = plan.reader(plan.files[0]).chunks()
    found = chunk.parse()
    told = [(row.line, row.column, row.reason) for row in found.rejected]
    assert sorted(told) == [
        (2, "maybe", "not a number"),
        (3, "", "not a JSON object"),
        (6, "size", "an unknown category"),
    ]
    assert found.lines.tolist() == [1, 5, 7]
