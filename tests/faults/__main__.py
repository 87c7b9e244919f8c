"""Tries what Sepal promises: `python -m tests.faults [SCENARIO …] [--short]`; 1 if a bound is missed."""

import argparse
import sys
import tempfile
from pathlib import Path

import uvloop
from rich.console import Console

from tests.faults.results import Form, Result, as_json, show
from tests.faults.scenarios import SCENARIOS, trained_place


def main() -> int:
    """Run the scenarios one after the other. Ctrl-C ends the soak, which reports what it has."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument(
        "--short", action="store_true", help="a few seconds each, bounds of speed held loosely"
    )
    parser.add_argument("--seconds", type=float, help="of load in each scenario")
    parser.add_argument("--json", type=Path, help="write the results there too")
    options = parser.parse_args()
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    console, results = Console(), list[Result]()
    with tempfile.TemporaryDirectory(prefix="sepal-faults-") as folder:
        place = trained_place(Path(folder))
        for name in options.scenarios or SCENARIOS:
            console.print(f"{name} …")
            results.append(uvloop.run(SCENARIOS[name](place, Form(options.short, options.seconds))))
            if not results[-1].kept:
                console.print(f"[red]{name} missed a bound[/]")
    show(results, console)
    if options.json is not None:
        options.json.write_text(as_json(results))
    return 0 if all(result.kept for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
