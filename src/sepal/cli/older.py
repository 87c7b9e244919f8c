"""`run-iris-batch`: the command of the older batch script, with its options and columns."""

import sys
from typing import Annotated, NoReturn

import typer

from sepal import garbage
from sepal.cli.score import job_of, run_job
from sepal.contracts import Labels
from sepal.contracts.iris import contract
from sepal.errors import told_in_one_line
from sepal.settings import load_settings

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(epilog="Example: `run-iris-batch --input flowers.csv --output scored.csv`")
def run_iris_batch(
    input_: Annotated[str, typer.Option("--input", help="File of irises; see `sepal score --help`.")],
    output: Annotated[str, typer.Option(help="File to write: all columns of the input, and two more.")],
) -> None:
    """Score irises as the older batch script did: `prediction` is the class's number, beside its name.

    It is `sepal score iris` with the older columns: with its quarantine, manifest, exit
    codes and resumption.
    """
    names = contract.target.names if isinstance(contract.target, Labels) else ()
    job = job_of(
        model="iris",
        input=input_,
        output=output,
        keep="all",
        position_name="prediction",
        prediction_name="prediction_class_name",
        label_names={name: name.removeprefix("Iris-") for name in names},
        version_name=None,
    )
    run_job(job, load_settings())


def main() -> NoReturn:
    """Run the command; an error that a person can act on is one line and its exit code."""
    garbage.look_seldom()
    with told_in_one_line():
        app()
    sys.exit(0)
