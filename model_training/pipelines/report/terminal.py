"""Tells a person at the terminal how training goes and what came out of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from model_training.pipelines.details import GATE, HELD_OUT
from sepal.registry.versions import Version


@contextmanager
def steps(console: Console) -> Iterator[Callable[[str], None]]:
    """A function to be told each step: a spinner at a terminal, a line a step elsewhere."""
    if not console.is_terminal:
        yield lambda step: console.print(Text(f"{step} …"))
        return
    with console.status("") as status:
        yield lambda step: status.update(Text(f"{step} …"))


def report(version: Version) -> RenderableType:
    """What a trained version is, from how many rows it came, and how good it is."""
    parts: list[RenderableType] = [_summary(version), _metrics(version)]
    if matrix := version.details.get("confusion_matrix"):
        parts.append(_confusion(matrix))
    if verdict := version.details.get(GATE):
        parts.append(_verdict(version, verdict))
    return Group(*parts)


def comparison(one: Version, two: Version) -> RenderableType:
    """Two versions side by side, and how their metrics on the test rows differ."""
    table = Table("", escape(one.name), escape(two.name), "difference", title_justify="left")
    table.title = Text(f"{one.model}: {one.name} and {two.name}")
    for label, said in (
        ("aliases", lambda v: ", ".join(v.aliases)),
        ("gate", lambda v: v.state),
        ("trained (UTC)", lambda v: f"{v.created_at:%Y-%m-%d %H:%M:%S}"),
        ("data", lambda v: v.data_source),
        ("rows", lambda v: f"{v.train_rows:,} to train, {v.test_rows:,} to test"),
    ):
        table.add_row(label, Text(said(one)), Text(said(two)), "")
    ours, theirs = one.metrics.get("test", {}), two.metrics.get("test", {})
    for name in dict.fromkeys((*ours, *theirs)):
        both = name in ours and name in theirs
        difference = f"{ours[name] - theirs[name]:+.4f}" if both else ""
        table.add_row(f"test {name}", _number(ours.get(name)), _number(theirs.get(name)), difference)
    if one.details.get(HELD_OUT) != two.details.get(HELD_OUT):
        table.caption = Text("They were tested on different rows: differences tell little.")
    return table


def _summary(version: Version) -> Table:
    dropped = version.details.get("dropped") or {}
    table = Table(title=Text(f"{version.model} {version.name}"), title_justify="left", show_header=False)
    table.add_row("version", Text(version.name))
    table.add_row("algorithm", Text(version.algorithm))
    table.add_row("data", Text(version.data_source))
    table.add_row("rows", f"{version.train_rows:,} to train, {version.test_rows:,} to test")
    table.add_row("dropped", Text("\n".join(f"{n:,} {reason}" for reason, n in dropped.items()) or "none"))
    return table


def _metrics(version: Version) -> Table:
    splits = list(version.metrics)
    table = Table("metric", *splits, title="How good it is", title_justify="left")
    for name in dict.fromkeys(name for split in splits for name in version.metrics[split]):
        table.add_row(name, *(_number(version.metrics[split].get(name)) for split in splits))
    return table


def _verdict(version: Version, verdict: dict[str, Any]) -> RenderableType:
    table = Table(
        title=Text(f"Quality gate: {version.state}"),
        title_justify="left",
        show_header=False,
        caption=Text("\n".join(verdict["notes"])),
        caption_justify="left",
    )
    for check in verdict["checks"]:
        table.add_row(check["outcome"], Text(check["said"]))
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _confusion(matrix: dict[str, Any]) -> Table:
    labels = matrix["labels"]
    table = Table(
        "true ↓  answered →", *map(escape, labels), title="Test rows by label", title_justify="left"
    )
    for label, counts in zip(labels, matrix["counts"], strict=True):
        table.add_row(Text(label), *map(str, counts))
    return table
