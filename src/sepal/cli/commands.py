"""The commands: `sepal train`, `sepal serve`, and the groups of commands beside them."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from sepal.cli.bento import bento
from sepal.cli.keys import app as keys_app
from sepal.cli.models import app as models_app
from sepal.cli.predict import predict
from sepal.cli.score import score
from sepal.cli.terminal import console, drop_what_nobody_takes, say, say_aside
from sepal.cli.training import champion_of, train_version
from sepal.cli.worker import worker
from sepal.contracts.catalogue import load_contracts
from sepal.errors import ConfigurationError, told_in_one_line
from sepal.settings import load_settings, misspelt

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Trains, versions and serves scikit-learn models.",
    epilog="Example: `sepal train iris && sepal serve iris`",
    pretty_exceptions_enable=False,
)
app.command(epilog="Example: `sepal score iris flowers.csv scored.csv --proba`")(score)
app.command(
    epilog="Example: `sepal predict iris --row SepalLengthCm=5 SepalWidthCm=2 "
    "PetalLengthCm=3 PetalWidthCm=4`"
)(predict)
app.command(epilog="Example: `sepal worker iris`")(worker)
app.command(epilog="Example: `make bento`, or `sepal bento iris --export iris.bento`")(bento)
app.add_typer(models_app, name="models", epilog="Example: `sepal models list`")
app.add_typer(keys_app, name="keys", epilog="Example: `sepal keys create shop --scope predict`")


def main() -> NoReturn:
    """Run a command; an error that a person can act on is one line and its exit code."""
    with told_in_one_line():
        try:
            app()
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"This command needs {error.name}, which is not installed here. Install the extra "
                "that brings it: the README says which one."
            ) from error
    sys.exit(0)


def _version(asked: bool) -> None:
    if asked:
        console.print(f"sepal {installed_version('sepal')}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""


@app.command(epilog="Example: `sepal train iris --algorithm rand_forest`")
def train(
    model: Annotated[str, typer.Argument(help="The model to train, such as iris.")],
    algorithm: Annotated[
        str | None, typer.Option(help="One of the recipe's algorithms; by default its first.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file to train on; by default the recipe's own.")
    ] = None,
    test_data: Annotated[
        Path | None, typer.Option(help="File to test on; by default a part of the data is held out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split and of the algorithm.")] = 0,
    promote: Annotated[
        bool, typer.Option("--promote", help="Make it champion, if its quality gate lets it pass.")
    ] = False,
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Do nothing if the model has a champion.")
    ] = False,
) -> None:
    """Train a new version of a model, judge it by its quality gate, and register it.

    It becomes champion if the model has none and it passes.
    """
    settings = load_settings()
    if if_missing and (champion := champion_of(settings, model)):
        say(f"{champion} is the champion of {model}: nothing is to be trained.")
        return
    train_version(settings, model, algorithm, data, test_data, seed, promote=promote)


@app.command(epilog="Example: `sepal serve iris`")
def serve(
    models: Annotated[
        list[str] | None, typer.Argument(help="Models to serve; by default those in SEPAL_MODELS, or all.")
    ] = None,
    train_missing: Annotated[
        bool, typer.Option("--train-missing", help="First train each model that has no champion.")
    ] = False,
    worker: Annotated[
        bool, typer.Option("--worker", help="Run a worker too, which takes jobs of bulk scoring.")
    ] = False,
) -> None:
    """Start both tiers, keep them running, and stop them at Ctrl-C."""
    import asyncio

    from sepal.access.safety import check
    from sepal.registry import Registry
    from sepal.supervisor import Supervisor

    settings = load_settings()
    for remark in misspelt():
        say_aside(f"Warning: {remark}")
    check(settings)
    contracts = load_contracts(settings.contracts_path, models or settings.models)
    with Registry.open(settings) as registry:
        registry.bring_up_to_date()
        for model in () if train_missing else contracts:
            registry.champion(model)
    for model in contracts if train_missing else ():
        if champion_of(settings, model) is None:
            train_version(settings, model)
    try:
        asyncio.run(Supervisor(settings, contracts, say_aside, worker=worker).run())
    finally:
        drop_what_nobody_takes()
