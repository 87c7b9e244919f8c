"""The commands: `sepal train`, `sepal serve`, and the groups of commands beside them."""

import asyncio
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from sepal.cli.models import app as models_app
from sepal.cli.score import score
from sepal.cli.terminal import console, say
from sepal.cli.worker import worker
from sepal.contracts.catalogue import load_contracts, pick
from sepal.errors import NoChampionError, told_in_one_line
from sepal.settings import Settings, load_settings

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Trains, versions and serves scikit-learn models.",
    epilog="Example: `sepal train iris && sepal serve iris`",
    pretty_exceptions_enable=False,
)
app.command(epilog="Example: `sepal score iris flowers.csv scored.csv --proba`")(score)
app.command(epilog="Example: `sepal worker iris`")(worker)
app.add_typer(models_app, name="models", epilog="Example: `sepal models list`")


def main() -> NoReturn:
    """Run a command; an error that a person can act on is one line and its exit code."""
    with told_in_one_line():
        app()
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
) -> None:
    """Train a new version of a model and register it. The first one becomes champion."""
    _train(load_settings(), model, algorithm, data, test_data, seed)


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
    from sepal.registry import Registry
    from sepal.supervisor import Supervisor

    settings = load_settings()
    contracts = load_contracts(settings.contracts_path, models or settings.models)
    for model in contracts:
        try:
            with Registry.open(settings) as registry:
                registry.champion(model)
        except NoChampionError:
            if not train_missing:
                raise
            _train(settings, model)
    asyncio.run(Supervisor(settings, contracts, say, worker=worker).run())


def _train(
    settings: Settings,
    model: str,
    algorithm: str | None = None,
    data: Path | None = None,
    test_data: Path | None = None,
    seed: int = 0,
) -> None:
    from model_training.pipelines.report import report, steps

    with steps(console) as progress:
        progress(f"Getting ready to train {model}")
        from model_training.pipelines.train import train
        from model_training.recipe import load_recipes
        from sepal.registry import Registry

        contracts = load_contracts(settings.contracts_path)
        contract = pick(contracts, model, "model")
        recipe = pick(load_recipes(contracts, settings.recipes_path), model, "recipe")
        with Registry.open(settings) as registry:
            version = train(
                recipe,
                contract,
                data=data or settings.data_dir / recipe.default_data,
                test_data=test_data,
                algorithm=algorithm,
                seed=seed,
                register=registry.register,
                progress=progress,
            )
    console.print(report(version))
