"""What `sepal train` does: trains a version, says what its gate found, and promotes it if asked to."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sepal.cli.terminal import console, say
from sepal.contracts import Contract
from sepal.contracts.catalogue import load_contracts, pick
from sepal.errors import NoChampionError, RejectedError, UndecidedError
from sepal.settings import Settings

if TYPE_CHECKING:
    from model_training.pipelines.findings import Findings
    from model_training.pipelines.gate import Champion
    from sepal.registry import Registry, Version


def champion_of(settings: Settings, model: str) -> str | None:
    """The name of a model's champion; None if it has none."""
    from sepal.registry import Registry

    with Registry.open(settings) as registry:
        registry.bring_up_to_date()
        try:
            return registry.champion(model).name
        except NoChampionError:
            return None


def train_version(
    settings: Settings,
    model: str,
    algorithm: str | None = None,
    data: Path | None = None,
    test_data: Path | None = None,
    seed: int = 0,
    *,
    promote: bool = False,
) -> None:
    """Train a version and register it. RejectedError if its gate rejects it, after that."""
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
            registry.bring_up_to_date()
            champion = _champion(registry, model)
            version = train(
                recipe,
                contract,
                data=data or settings.data_dir / recipe.default_data,
                test_data=test_data,
                algorithm=algorithm,
                seed=seed,
                register=registry.register,
                progress=progress,
                champion=champion,
                report=lambda version, findings: write_report_or_say(registry, version, findings),
            )
    console.print(report(version))
    say_report(registry, version)
    with Registry.open(settings) as registry:
        _log_to_mlflow(registry, contract, version)
        _tell(registry, contract, version, champion, promote=promote)


def say_report(registry: "Registry", version: "Version") -> None:
    """Say where the report of a version is, if it has one."""
    from sepal.registry.artefacts import REPORT

    path = registry.artefacts.folder(version.tag) / REPORT
    if path.is_file():
        say(f"Report: {path}")


def write_report_or_say(registry: "Registry", version: "Version", findings: "Findings") -> None:
    """Write the report of a version that is registered already; if that fails, say so and go on."""
    from model_training.pipelines.report.file import write_report

    try:
        write_report(version, findings, registry.artefacts.folder(version.tag))
    except Exception as error:  # noqa: BLE001 (whatever it is, the version is registered)
        say(f"{version.tag} is registered, but its report could not be written: {error!r}")


def _champion(registry: "Registry", model: str) -> "Champion | None":
    from model_training.pipelines.gate import Champion

    try:
        return Champion(registry.champion(model), registry.artefacts.load)
    except NoChampionError:
        return None


def _tell(
    registry: "Registry",
    contract: Contract,
    version: "Version",
    champion: "Champion | None",
    *,
    promote: bool,
) -> None:
    """Promote the version if it was asked for and it may be; say who answers now."""
    by_hand = f"sepal models promote {version.model} {version.name} --why REASON"
    if version.state == "rejected":
        raise RejectedError(
            f"{version.tag} is registered, and rejected by its gate: {'; '.join(version.reasons)}. "
            f"{_champion_said(champion)}"
        )
    if version.state == "undecided" and promote:
        raise UndecidedError(
            f"{version.tag} is registered, and not promoted, since its gate can't tell: "
            f"{'; '.join(version.reasons)}. {_champion_said(champion)} To promote it: {by_hand}"
        )
    if promote and not version.aliases:
        from sepal.registry.lifecycle import promote_judged
        from sepal.scoring.scorer import load_version

        why = "passed its gate" if version.state == "passed" else "its recipe has no gate"
        against = champion.version.name if champion else None
        promote_judged(
            registry,
            version,
            against,
            f"trained with --promote, {why}",
            lambda v: load_version(v, contract, registry.artefacts, compiled=False),
        )
        say(f"{version.name} is the champion of {version.model} now.")
    elif version.aliases:
        say(f"{version.name} is the champion of {version.model}, its first.")
    else:
        say(f"{_champion_said(champion)} To promote this version: {by_hand}")


def _log_to_mlflow(registry: "Registry", contract: Contract, version: "Version") -> None:
    if os.environ.get("MLFLOW_TRACKING_URI"):
        from model_training.mlflow.log import log_training
        from sepal.registry.artefacts import REPORT

        html = registry.artefacts.folder(version.tag) / REPORT
        if said := log_training(contract, version, registry.artefacts.load, [html]):
            say(said)


def _champion_said(champion: "Champion | None") -> str:
    if champion is None:
        return "The model has no champion yet."
    return f"The champion stays {champion.version.name}."
