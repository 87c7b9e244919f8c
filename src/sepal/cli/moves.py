"""The commands that change which versions there are and which one answers."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sepal.cli.terminal import say
from sepal.contracts import Contract
from sepal.contracts.catalogue import load_contracts, pick
from sepal.settings import Settings, load_settings

if TYPE_CHECKING:
    from sepal.registry import Registry
    from sepal.registry.checked import Check
    from sepal.registry.lifecycle import Move

Model = Annotated[str, typer.Argument(help="The model, such as iris.")]
Why = Annotated[
    str | None, typer.Option(help="The reason, kept in the audit trail; asked for at a terminal.")
]


def promote(
    model: Model,
    version: Annotated[str, typer.Argument(help="The version, such as rand_forest_2.")],
    why: Why = None,
    force: Annotated[bool, typer.Option("--force", help="Even if its quality gate rejected it.")] = False,
) -> None:
    """Make a version the champion, once it is found to load and to answer.

    Servers take it up while they serve.
    """
    from sepal.registry import Registry, lifecycle

    settings, contract, reason = prepare(model, why)
    with Registry.open(settings) as registry:
        check = check_of(registry, contract)
        _tell(lifecycle.promote(registry, model, version, reason, check, force=force))


def rollback(model: Model, why: Why = None) -> None:
    """Make the champion before this one champion again; once more, the one before that."""
    from sepal.registry import Registry, lifecycle

    settings, contract, reason = prepare(model, why)
    with Registry.open(settings) as registry:
        _tell(lifecycle.roll_back(registry, model, reason, check_of(registry, contract)))


def prune(
    model: Annotated[str | None, typer.Argument(help="One model; by default all.")] = None,
    keep: Annotated[int, typer.Option(min=1, help="How many of a model's newest versions stay.")] = 10,
) -> None:
    """Remove old versions, their records and artefacts.

    Never the champion, nor the challenger on trial, nor the one that a rollback would go to.
    """
    from sepal.registry import Registry, lifecycle

    settings = load_settings()
    if model is not None:
        pick(load_contracts(settings.contracts_path), model, "model")
    with Registry.open(settings) as registry:
        models = [model] if model else sorted({version.model for version in registry.versions()})
        removed = lifecycle.prune(registry, models, keep, f"kept the newest {keep}")
    for version in removed:
        say(f"Removed {version.tag}.")
    if not removed:
        say("Nothing to remove.")


def prepare(model: str, why: str | None) -> tuple[Settings, Contract, str]:
    """The settings, the model's contract, and a reason, asked for if somebody is there to ask."""
    settings = load_settings()
    contract = pick(load_contracts(settings.contracts_path), model, "model")
    if why is None and sys.stdin.isatty():
        why = typer.prompt("Why")
    if not (why or "").strip():
        raise typer.BadParameter("say the reason, such as --why 'fewer errors on June'", param_hint="--why")
    return settings, contract, str(why).strip()


def check_of(registry: "Registry", contract: Contract) -> "Check":
    """Whether a version loads and answers."""
    from sepal.scoring.scorer import load_version

    return lambda version: load_version(version, contract, registry.artefacts, compiled=False)


def _tell(move: "Move") -> None:
    if move.before == move.after:
        say(f"{move.after} is the champion of {move.model} already.")
    else:
        say(f"{move.after} is the champion of {move.model} now; before it was {move.before or 'nobody'}.")
