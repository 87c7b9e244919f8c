"""The commands that bring versions in from elsewhere, and take them out."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sepal.cli.moves import Model, Why, prepare
from sepal.cli.terminal import console, say
from sepal.contracts.catalogue import load_contracts, pick
from sepal.errors import NoChampionError, RejectedError
from sepal.settings import load_settings

if TYPE_CHECKING:
    from model_training.pipelines.gate import Champion
    from sepal.registry import Registry

_ALGORITHM = re.compile(r"[a-z][a-z0-9_]{0,40}")


class ExportFormat(StrEnum):
    """What a version can be exported as."""

    pickle = "pickle"
    skops = "skops"
    onnx = "onnx"


def import_mlflow(
    model: Model,
    source: Annotated[
        str,
        typer.Argument(
            help="models:/NAME@ALIAS, models:/NAME/NUMBER, runs:/RUN/ARTEFACT, or the folder or URI of the "
            "model's files, for which no server is needed."
        ),
    ],
    why: Why = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="How a column is made that the contract lacks: 'PU_DO={PULocationID}_{DOLocationID}'."
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="The contract's label for a class of the model: '0=Iris-setosa'."),
    ] = None,
    algorithm: Annotated[
        str | None, typer.Option(help="What the version is called by; by default its last step's class.")
    ] = None,
    test_data: Annotated[
        Path | None, typer.Option(help="File to judge it on; by default what training keeps for its test.")
    ] = None,
) -> None:
    """Register a scikit-learn model from MLflow as a version, and judge it by the model's quality gate.

    Its signature is checked against the contract, and it must answer random rows of it.
    One that can't be judged is promoted by `sepal models promote` alone. MLFLOW_TRACKING_URI
    names the server. Loading a pickled model runs the code in it: import only what you trust.
    """
    settings, contract, reason = prepare(model, why)
    if algorithm is not None and not _ALGORITHM.fullmatch(algorithm):
        raise typer.BadParameter("use lower-case letters, digits and _", param_hint="--algorithm")
    columns, labels = _pairs(column, "--column"), _pairs(label, "--label")
    from model_training.mlflow.artefact import fetched
    from model_training.mlflow.imports import Options, draft_of
    from model_training.pipelines.report import report, steps
    from model_training.recipe import load_recipes
    from sepal.registry import Registry

    recipes = load_recipes(load_contracts(settings.contracts_path), settings.recipes_path)
    recipe = recipes.get(model)
    with steps(console) as progress, Registry.open(settings) as registry:
        registry.bring_up_to_date()
        progress(f"Fetching {source}")
        with fetched(source) as artefact:
            if artefact.is_pickle:
                progress(f"Loading {artefact.source}, a pickle, which runs what its maker put into it")
            draft = draft_of(
                artefact,
                artefact.load(settings.trusted_types),
                contract,
                recipe,
                settings.data_dir / recipe.default_data if recipe else None,
                _champion(registry, model),
                Options(reason, columns, labels, algorithm, test_data),
                progress,
            )
        progress("Registering the version")
        version = registry.register(draft)
    console.print(report(version))
    if not draft.details["mlflow"]["signature"]:
        say("The model has no signature: that it answered rows of the contract is the only proof.")
    if needs := draft.details["mlflow"].get("needs"):
        say(f"Where it is served it needs {', '.join(needs)} beside scikit-learn.")
    if version.state == "rejected":
        raise RejectedError(
            f"{version.tag} is registered, and rejected by its gate: {'; '.join(version.reasons)}."
        )
    if version.aliases:
        say(f"{version.name} is the champion of {model} now, its first.")
    else:
        say(
            f"{version.tag} is registered. To promote it: "
            f"sepal models promote {model} {version.name} --why REASON"
        )


def export_version(
    model: Model,
    version: Annotated[str, typer.Argument(help="The version, such as log_reg_1.")],
    format_: Annotated[ExportFormat, typer.Option("--format", help="What to write.")],
    output: Annotated[
        Path | None, typer.Option(help="File to write; by default MODEL-VERSION here, by its format.")
    ] = None,
) -> None:
    """Write a version to a file that needs no Sepal: a pickle, a skops file or an ONNX graph.

    It takes the model's matrix, float64, in the contract's order. Before the file appears
    it has answered the rows of training and 100,000 random ones as the version does:
    equal labels, probabilities within 1e-9, quantities within 1e-9 of themselves.
    """
    settings = load_settings()
    contracts = load_contracts(settings.contracts_path)
    contract = pick(contracts, model, "model")
    from model_training.exports.export import SUFFIXES, export, training_rows
    from model_training.recipe import load_recipes
    from sepal.registry import Registry

    recipe = load_recipes(contracts, settings.recipes_path).get(model)
    with Registry.open(settings) as registry:
        found = registry.version(model, version)
        contract.check_version(found.tag, found.contract_signature)
        pipeline = registry.artefacts.load(found)
    path = output or Path(f"{model}-{version}{SUFFIXES[format_.value]}")
    data = settings.data_dir / recipe.default_data if recipe else Path()
    rows = training_rows(recipe, contract, found, data)
    if rows is None:
        say(f"The rows that {found.tag} was trained on are not at hand: random rows alone are the proof.")
    export(found, contract, pipeline, format_.value, path, rows, settings.trusted_types, say)
    say(f"{found.tag} is in {path}.")


def _pairs(given: Sequence[str] | None, option: str) -> Mapping[str, str]:
    """`NAME=VALUE` options as a mapping."""
    pairs = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        if not (name and equals and value):
            raise typer.BadParameter(f"{one!r} is not NAME=VALUE", param_hint=option)
        pairs[name] = value
    return pairs


def _champion(registry: "Registry", model: str) -> "Champion | None":
    from model_training.pipelines.gate import Champion

    try:
        return Champion(registry.champion(model), registry.artefacts.load)
    except NoChampionError:
        return None
