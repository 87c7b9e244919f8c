"""What a shadow trial costs: throughput and latency at full load, with one and without, in turns.

With both tiers running on a registry that has two or more versions of iris that load:

    python -m loadtest.trials --rounds 5 --seconds 5
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

from loadtest.bench import wrk
from loadtest.bench.wrk import Load
from loadtest.traffic import row
from sepal.contracts.iris import contract as iris
from sepal.registry import CHAMPION, Registry
from sepal.settings import Settings, load_settings

ROUNDS, SECONDS, CONNECTIONS = 5, 5.0, 64

ALLOWED = 0.10
"""Part of the throughput that a shadow may cost."""

TAKEN_UP = 3.0
"""Seconds after which every worker has taken a trial up, and proven its challenger."""


def sepal(*arguments: str) -> str:
    """Run a command about the trial of iris; what it said."""
    command = [sys.executable, "-c", "from sepal.cli import main; main()", "models", "trial", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def on_trial(version: str) -> Iterator[None]:
    """While a version is tried as a shadow."""
    sepal("iris", version, "--shadow", "--why", "loadtest")
    try:
        yield
    finally:
        sepal("stop", "iris", "--why", "loadtest")


def measure(url: str, body: Path, version: str, options: argparse.Namespace) -> dict[str, list[Load]]:
    """Loads without and with the version as a shadow; which comes first changes from round to round."""
    found: dict[str, list[Load]] = {"without": [], "with": []}
    wrk.run(url, body, options.connections, 2)
    for number in range(options.rounds):
        for what in ("without", "with") if number % 2 == 0 else ("with", "without"):
            with on_trial(version) if what == "with" else nullcontext():
                time.sleep(TAKEN_UP)
                found[what].append(wrk.run(url, body, options.connections, options.seconds))
    return found


def table(found: dict[str, list[Load]]) -> str:
    """Each round, the medians, and what the shadow costs."""
    lines = [f"{'shadow':>10} {'a second':>8} {'p50 ms':>8} {'p99 ms':>8} {'errors':>7}"]
    for what, loads in found.items():
        lines += [_line(what, [load]) for load in loads]
    lines += [_line(f"{what} *", loads) for what, loads in found.items()]
    return "\n".join(lines)


def cost(found: dict[str, list[Load]]) -> float:
    """The part of the throughput that is lost with a shadow, by the medians."""
    without, with_one = (median(load.per_second for load in found[what]) for what in ("without", "with"))
    return 1 - with_one / without


def challenger_of(settings: Settings) -> str:
    """The newest version of iris that is not the champion, and that its gate did not reject."""
    with Registry.open(settings) as registry:
        versions = registry.versions("iris")
    others = [v.name for v in versions if CHAMPION not in v.aliases and v.state != "rejected"]
    if not others:
        sys.exit("There is no second version of iris: sepal train iris --algorithm rand_forest")
    return others[-1]


def main() -> int:
    """Measure against the tiers that are running; 1 if the shadow costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of load, each time")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--version", help="the challenger; by default the newest that is not champion")
    options = parser.parse_args()
    settings = load_settings()
    version = options.version or challenger_of(settings)
    url = f"http://{settings.gateway_host}:{settings.gateway_port}/iris/predict"
    others = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "row.json"
        body.write_text(json.dumps(row(iris)))
        found = measure(url, body, version, options)
    [trial] = _status()
    say(table(found))
    say(
        f"{version} as a shadow costs {cost(found):.1%} of the throughput; {ALLOWED:.0%} are allowed. "
        f"* are medians of {options.rounds} rounds of {options.seconds:g} s, "
        f"{options.connections} connections."
    )
    say(
        f"In the last round it scored {trial['found']['rows']:,} of {trial['found']['rows_seen']:,} rows. "
        f"Load average before: {others:.1f} on {os.cpu_count()} cores."
    )
    return (
        1 if cost(found) > ALLOWED or any(load.errors for loads in found.values() for load in loads) else 0
    )


def say(line: str) -> None:
    """A line for the person who watches."""
    print(line, flush=True)  # noqa: T201 (what the script is for)


def _status() -> Any:  # noqa: ANN401 (any JSON)
    return json.loads(sepal("status", "iris", "--json"))


def _line(what: str, loads: Sequence[Load]) -> str:
    middle = [median(getattr(load, name) for load in loads) for name in ("per_second", "p50", "p99")]
    errors = sum(load.errors for load in loads)
    return f"{what:>10} {middle[0]:>8,.0f} {middle[1]:>8.2f} {middle[2]:>8.2f} {errors:>7}"


if __name__ == "__main__":
    random.seed(0)
    sys.exit(main())
