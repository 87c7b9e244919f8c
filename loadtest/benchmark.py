"""Holds Sepal against other ways to serve the same model: `make bench`, or `benchmark.py --help`."""

import os
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from loadtest.bench import render, soak, wrk
from loadtest.bench.measure import Bench, Found, Plan
from loadtest.bench.questions import MANY, WrongAnswerError
from loadtest.bench.results import Point, medians, verdicts
from loadtest.bench.systems import ABLATION, COMPARED, PEERS, PROTOCOLS, QUICK, ROOT, SYSTEMS, System

app = typer.Typer(pretty_exceptions_enable=False)

_TITLES = {name: system.title for name, system in SYSTEMS.items()}
_CONCURRENCY_MANY = (1, 16)


def say(line: str) -> None:
    """A line for the person who watches."""
    print(line, flush=True)  # noqa: T201 (a command's output)


@app.command(epilog="Example: python loadtest/benchmark.py --systems sepal,one_tier --rounds 1 --seconds 2")
def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the table gives their medians.")] = 5,
    seconds: Annotated[int, typer.Option(min=1, help="Seconds of load at each point.")] = 5,
    systems: Annotated[str, typer.Option(help=f"Some of {','.join(SYSTEMS)}.")] = ",".join(COMPARED),
    concurrency: Annotated[
        str, typer.Option(help="Connections at once, for one row a request.")
    ] = "1,16,64,256",
    quick: Annotated[
        bool, typer.Option("--quick", help="One round, of five systems: under 3 minutes.")
    ] = False,
    ablation: Annotated[
        bool, typer.Option("--ablation", help="Sepal alone, each step that makes it quick turned off.")
    ] = False,
    protocols: Annotated[
        bool, typer.Option("--protocols", help="Sepal by each protocol, beside MLServer and MLflow.")
    ] = False,
    soak_minutes: Annotated[
        float, typer.Option("--soak", metavar="MINUTES", help="Sepal alone at half its load, so long.")
    ] = 0,
    output: Annotated[Path, typer.Option(help="Folder of the results; each run makes its own in it.")] = (
        ROOT / "loadtest" / "results"
    ),
) -> None:
    """Start each system in turn, check that it answers right, load it with wrk, and compare."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        wrk.require_wrk()
    except wrk.WrkError as error:
        raise typer.BadParameter(str(error)) from error
    results = output / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}"
    (results / "logs").mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="sepal-bench-") as folder:
        bench = Bench(Path(folder), results / "logs", say)
        if soak_minutes:
            _soak(bench, soak_minutes, results)
            return
        if ablation:
            systems = ",".join(ABLATION)
        if protocols:
            systems = ",".join(PROTOCOLS)
        if quick:
            rounds, seconds = 1, 3
            systems = systems if protocols else ",".join(QUICK)
        _compare(bench, Plan(_systems(systems), _points(concurrency), rounds, seconds, quick), results)


def _compare(bench: Bench, plan: Plan, results: Path) -> None:
    found = Found()
    say(f"{len(plan.systems)} systems, {plan.rounds} rounds: about {plan.estimate / 60:.0f} minutes")
    try:
        bench.install(plan, found)
        for _ in bench.measure(plan, found):
            _save(plan, found, results)
    except KeyboardInterrupt:
        say("Stopped; what was measured so far:")
    say("\n" + _save(plan, found, results))
    say(f"Saved in {results}")
    if "sepal" in found.excluded:
        raise typer.Exit(1)


def _save(plan: Plan, found: Found, results: Path) -> str:
    table = medians(found.samples)
    text = (
        _heading(plan, found)
        + "\n"
        + render.markdown(table, _TITLES, verdicts(table, PEERS, _TITLES), found.samples)
    )
    (results / "benchmark.md").write_text(text)
    (results / "benchmark.csv").write_text(render.table_csv(table))
    (results / "samples.csv").write_text(render.samples_csv(found.samples))
    (results / "benchmark.svg").write_text(render.plot(table, _TITLES))
    return text


def _heading(plan: Plan, found: Found) -> str:
    lines = [
        f"Medians over {plan.rounds} rounds of {plan.seconds:g} s, systems interleaved, one worker a tier, "
        f"wrk on the same {os.cpu_count()} cores, Python {sys.version.split()[0]}. "
        "The order of the points is shuffled in each round. "
        "RSS is summed over a system's processes.",
        "",
    ]
    for name, packages in found.versions.items():
        said = ", ".join(f"{package} {version}" for package, version in packages.items())
        lines.append(f"- {_TITLES[name]}: {said}")
    lines += [f"- **{_TITLES[name]} excluded**: {why}" for name, why in found.excluded.items()]
    return "\n".join([*lines, ""])


def _soak(bench: Bench, minutes: float, results: Path) -> None:
    system = SYSTEMS["sepal"]
    bench.install(Plan((system,), (), 1, 0), Found())
    say(f"Sepal at half its load for {minutes:g} minutes")
    try:
        with bench.started(system) as (processes, port, bodies):
            soaked = soak.soak(processes, f"http://127.0.0.1:{port}{system.path}", bodies[1], minutes)
    except (WrongAnswerError, wrk.WrkError) as error:
        say(f"Sepal failed: {error}")
        raise typer.Exit(1) from error
    soak.write(soaked, results / "soak.csv")
    rss, fds = soaked.growth()
    load = soaked.load
    say(
        f"{load.requests:,} requests, {load.per_second:,.0f} a second (it can {soaked.most:,.0f}), "
        f"p50 {load.p50:.2f} ms, p99 {load.p99:.2f} ms, {load.errors:,} errors; "
        f"RSS {soaked.looks[-1].rss:,.0f} MiB, grown by {rss:+.1f} MiB; "
        f"file descriptors {soaked.looks[-1].fds}, grown by {fds:+.0f}.\n"
        f"Saved in {results}"
    )


def _systems(names: str) -> tuple[System, ...]:
    unknown = set(names.split(",")) - set(SYSTEMS)
    if unknown:
        raise typer.BadParameter(f"no system {', '.join(sorted(unknown))}; there are {', '.join(SYSTEMS)}")
    return tuple(system for name, system in SYSTEMS.items() if name in names.split(","))


def _points(concurrency: str) -> tuple[Point, ...]:
    try:
        at = [int(number) for number in concurrency.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"--concurrency takes numbers such as 1,16, not {concurrency}") from error
    many = [number for number in _CONCURRENCY_MANY if number in at]
    return (*(Point(1, number) for number in at), *(Point(MANY, number) for number in many))


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    app()
