"""Tells how far a bulk run is, and what came of it: to people in words, to machines as JSON."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sepal.bulk.formats import public
from sepal.bulk.job import Job
from sepal.bulk.run import Progress as Done
from sepal.cli.score import LogFormat
from sepal.cli.terminal import console, say

_PLAIN_EVERY = 5.0
"""Seconds between two plain lines of progress."""


@contextmanager
def teller(form: LogFormat) -> Iterator[Callable[[Done], None]]:
    """What is to be called with the progress of a run."""
    if form is LogFormat.json:
        yield lambda done: _log("progress", vars(done))
    elif form is LogFormat.auto and console.is_terminal:
        with _bar() as tell:
            yield tell
    else:
        yield _plain_teller()


@contextmanager
def _bar() -> Iterator[Callable[[Done], None]]:
    told = (
        "[progress.percentage]{task.percentage:>3.0f}%",
        "{task.fields[rows]:,} rows",
        "{task.fields[speed]:,.0f} rows/s",
        "{task.fields[rejected]:,} rejected",
    )
    columns = (BarColumn(), *map(TextColumn, told), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", rows=0, speed=0.0, rejected=0, total=None)

        def tell(done: Done) -> None:
            bar.update(
                task,
                total=done.total_bytes,
                completed=done.done_bytes,
                rows=done.scored + done.rejected,
                speed=_speed(done),
                rejected=done.rejected,
            )

        yield tell


def _plain_teller() -> Callable[[Done], None]:
    last = time.monotonic()

    def tell(done: Done) -> None:
        nonlocal last
        if time.monotonic() - last > _PLAIN_EVERY:
            last = time.monotonic()
            share = done.done_bytes / max(1, done.total_bytes)
            say(
                f"{share:.0%}: {done.scored + done.rejected:,} rows, {_speed(done):,.0f} rows/s, "
                f"{done.rejected:,} rejected, {_seconds_left(done):,.0f} s left"
            )

    return tell


def _speed(done: Done) -> float:
    return (done.scored + done.rejected - done.resumed) / max(done.seconds, 1e-9)


def _seconds_left(done: Done) -> float:
    return done.seconds * (done.total_bytes / max(1, done.done_bytes) - 1)


def _log(event: str, values: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def tell_dry_run(scored: int, reasons: Mapping[str, int], form: LogFormat) -> None:
    """What the first chunk of a dry run gave."""
    if form is LogFormat.json:
        _log("dry run", {"scored": scored, "rejected_by_reason": dict(reasons)})
        return
    say(f"The headers fit. Of the first chunk, {scored:,} rows can be scored.")
    for reason, count in reasons.items():
        say(f"  rejected: {count:,} of them: {reason}")


def summarise(manifest: Mapping[str, Any], job: Job, form: LogFormat) -> None:
    """The manifest of a run that is done."""
    if form is LogFormat.json:
        _log("done", manifest)
        return
    table = Table(
        show_header=False,
        title=Text(f"{public(job.output)}, by {manifest['version']}"),
        title_justify="left",
    )
    rows = manifest["rows"]
    table.add_row("rows scored", f"{rows['scored']:,}")
    if manifest["resumed_rows"]:
        table.add_row("of them in an earlier run", f"{manifest['resumed_rows']:,}")
    table.add_row("rows rejected", f"{rows['rejected']:,}")
    for reason, count in manifest["rejected_by_reason"].items():
        table.add_row(Text(f"  {reason}"), f"{count:,}")
    for name, value in manifest["predictions"].items():
        table.add_row(Text(f"  {name}"), f"{value:,}" if isinstance(value, int) else f"{value:,.4g}")
    table.add_row("seconds", f"{manifest['seconds']:,.1f}")
    table.add_row("rows/s", f"{manifest['rows_per_second']:,}")
    console.print(table)
    if rows["rejected"]:
        say(f"The rejected rows are in {public(job.output)}.rejected.csv")
