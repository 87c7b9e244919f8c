"""`sepal models`: the versions of models, what became of them, and which one answers."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from sepal.cli import exchange, moves, trials
from sepal.cli.moves import Model
from sepal.cli.terminal import console, say, show
from sepal.cli.training import say_report
from sepal.contracts.catalogue import load_contracts, pick
from sepal.errors import TamperedError
from sepal.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True, help="Shows the versions of models, and chooses which one answers.")

OneOrAll = Annotated[str | None, typer.Argument(help="One model; by default all.")]


@app.command("list", epilog="Example: `sepal models list iris`")
def list_versions(model: OneOrAll = None) -> None:
    """List the versions of one model, or of all."""
    from sepal.registry import Registry

    with Registry.open(_settings(model)) as registry:
        versions = registry.versions(model)
    if not versions:
        say(f"No version of {model or 'any model'} yet. Make one: sepal train {model or 'iris'}")
        return
    table = Table("model", "version", "aliases", "gate", "trained (UTC)", "rows", "test metrics")
    for version in versions:
        table.add_row(
            version.model,
            version.name,
            ", ".join(version.aliases),
            version.state,
            f"{version.created_at:%Y-%m-%d %H:%M:%S}",
            f"{version.train_rows:,}",
            ", ".join(f"{name} {value:.4g}" for name, value in version.metrics.get("test", {}).items()),
        )
    show(table)


@app.command("show", epilog="Example: `sepal models show iris log_reg_1`")
def show_version(
    model: Model,
    version: Annotated[
        str | None, typer.Argument(help="The version, such as log_reg_1; by default the champion.")
    ] = None,
) -> None:
    """Show one version: where it comes from, how good it is, and what its gate found."""
    from model_training.pipelines.report import report
    from sepal.registry import Registry

    with Registry.open(_settings(model)) as registry:
        found = registry.version(model, version) if version else registry.champion(model)
    console.print(report(found))
    say_report(registry, found)


@app.command("compare", epilog="Example: `sepal models compare iris rand_forest_2`")
def compare_versions(
    model: Model,
    version: Annotated[str, typer.Argument(help="The version, such as rand_forest_2.")],
    other: Annotated[
        str | None, typer.Argument(help="What to compare it with; by default the champion.")
    ] = None,
) -> None:
    """Compare two versions: where they come from, and their metrics on the test rows."""
    from model_training.pipelines.report import comparison
    from sepal.registry import Registry

    with Registry.open(_settings(model)) as registry:
        one = registry.version(model, version)
        two = registry.version(model, other) if other else registry.champion(model)
    console.print(comparison(one, two))


@app.command("history", epilog="Example: `sepal models history iris`")
def show_history(model: OneOrAll = None) -> None:
    """Show the audit trail: what was done to the versions, when, by whom and why."""
    from sepal.registry import Registry

    with Registry.open(_settings(model)) as registry:
        trail = registry.trail(model)
    table = Table("row", "at (UTC)", "who", "what", "model", "version", "before", "why")
    for entry in trail:
        table.add_row(
            *(str(entry.id), f"{entry.at:%Y-%m-%d %H:%M:%S}", Text(entry.actor), entry.action),
            *(entry.model, entry.version, entry.previous_version or "", Text(entry.why)),
        )
    show(table)


@app.command("verify", epilog="Example: `sepal models verify`")
def verify_registry(
    head: Annotated[
        str | None, typer.Option(help="The hash that an earlier run printed; it must still be there.")
    ] = None,
) -> None:
    """Check that audit trail, records and artefacts are as they were written. A fault ends with code 13."""
    from sepal.registry import Registry
    from sepal.registry.verify import verify

    with Registry.open(_settings(None)) as registry:
        found = verify(registry, head)
    for fault in found.faults:
        say(fault)
    looked_at = f"{found.rows:,} audit rows and {found.versions:,} versions"
    if found.faults:
        raise TamperedError(f"Of {looked_at}, {len(found.faults):,} fault(s) as above.")
    say(f"{looked_at} are as they were written. The newest audit row's hash is {found.head}")


def _settings(model: str | None) -> Settings:
    """The settings; NotFoundError if there is no such model."""
    settings = load_settings()
    if model is not None:
        pick(load_contracts(settings.contracts_path), model, "model")
    return settings


app.command("promote", epilog="Example: `sepal models promote iris rand_forest_2 --why 'fewer errors'`")(
    moves.promote
)
app.command("rollback", epilog="Example: `sepal models rollback iris --why 'complaints since noon'`")(
    moves.rollback
)
app.command("prune", epilog="Example: `sepal models prune --keep 10`")(moves.prune)
app.command(
    "import-mlflow", epilog="Example: `sepal models import-mlflow iris models:/iris@champion --why new`"
)(exchange.import_mlflow)
app.command("export", epilog="Example: `sepal models export iris log_reg_1 --format onnx`")(
    exchange.export_version
)
app.add_typer(trials.app, name="trial", epilog="Example: `sepal models trial iris rand_forest_2 --shadow`")
