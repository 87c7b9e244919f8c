"""`sepal models`: the versions of models."""

from typing import Annotated

import typer
from rich.table import Table

from sepal.cli.terminal import console, say
from sepal.contracts.catalogue import load_contracts, pick
from sepal.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Shows the versions of models.")


@app.command("list", epilog="Example: `sepal models list iris`")
def list_versions(
    model: Annotated[str | None, typer.Argument(help="One model; by default all.")] = None,
) -> None:
    """List the versions of one model, or of all."""
    from sepal.registry import Registry

    settings = load_settings()
    if model is not None:
        pick(load_contracts(settings.contracts_path), model, "model")
    with Registry.open(settings) as registry:
        versions = registry.versions(model)
    if not versions:
        say(f"No version of {model or 'any model'} yet. Make one: sepal train {model or 'iris'}")
        return
    table = Table("model", "version", "aliases", "trained (UTC)", "rows", "test metrics")
    for version in versions:
        table.add_row(
            version.model,
            version.name,
            ", ".join(version.aliases),
            f"{version.created_at:%Y-%m-%d %H:%M:%S}",
            f"{version.train_rows:,}",
            ", ".join(f"{name} {value:.4g}" for name, value in version.metrics.get("test", {}).items()),
        )
    console.print(table)


@app.command("show", epilog="Example: `sepal models show iris log_reg_1`")
def show_version(
    model: Annotated[str, typer.Argument(help="The model, such as iris.")],
    version: Annotated[
        str | None, typer.Argument(help="The version, such as log_reg_1; by default the champion.")
    ] = None,
) -> None:
    """Show one version: where it comes from and how good it is."""
    from model_training.pipelines.report import report
    from sepal.registry import Registry

    settings = load_settings()
    pick(load_contracts(settings.contracts_path), model, "model")
    with Registry.open(settings) as registry:
        found = registry.version(model, version) if version else registry.champion(model)
    console.print(report(found))
