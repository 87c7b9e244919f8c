"""`sepal models trial`: a challenger beside the champion, on live rows."""

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from sepal.cli.moves import Model, check_of
from sepal.cli.terminal import say, show
from sepal.contracts import Contract
from sepal.contracts.catalogue import load_contracts, pick
from sepal.settings import load_settings

if TYPE_CHECKING:
    from sepal.registry.evidence import Estimate, Latency
    from sepal.registry.trials import Counts, Trial


Why = Annotated[str | None, typer.Option(help="The reason, kept in the audit trail; it may be left out.")]


class _StartsByDefault(TyperGroup):
    """`trial MODEL VERSION` stands for `trial start MODEL VERSION`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 (Typer's own types are private)
        return super().resolve_command(ctx, args if args[0] in self.commands else ["start", *args])


app = typer.Typer(
    cls=_StartsByDefault,
    no_args_is_help=True,
    help="Tries a version on live rows beside the champion. `sepal models trial MODEL VERSION` starts one.",
)


_LARGE = 0.5
"""A share above this is said with its %: by a 1 a person may mean 1 %, which is another thing than all."""


def _share(text: str) -> float:
    """A share such as 5% or 0.05."""
    matched = re.fullmatch(r"([0-9.]+)(%?)", text.strip())
    try:
        value = float(matched[1]) / (100 if matched[2] else 1) if matched else -1.0
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise typer.BadParameter(f"{text!r} is no share: say 5% or 0.05")
    if value > _LARGE and "%" not in text:
        raise typer.BadParameter(f"{text!r} may be {100 * value:g}% or {value:g}%: say which, with its %")
    return value


def _multiple(text: str) -> float:
    """A multiple such as 2x or 2."""
    try:
        value = float(text.strip().removesuffix("x"))
    except ValueError:
        value = -1.0
    if not 0 < value < 1e6:
        raise typer.BadParameter(f"{text!r} is no multiple: say 2x")
    return value


@app.command(
    "start", epilog="Example: `sepal models trial iris rand_forest_2 --canary 5% --why 'new leaves'`"
)
def start_trial(
    model: Model,
    version: Annotated[str | None, typer.Argument(help="The version to try.")] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Score copies of live rows; nobody sees its answers.")
    ] = False,
    canary: Annotated[
        float | None,
        typer.Option(parser=_share, metavar="SHARE", help="Answer this share of the rows, such as 5%."),
    ] = None,
    max_errors: Annotated[
        float | None,
        typer.Option(
            parser=_share,
            metavar="SHARE",
            help="Of a canary: stop it if it leaves more rows than this without an answer; by default 1%.",
        ),
    ] = None,
    max_latency: Annotated[
        float | None,
        typer.Option(
            parser=_multiple,
            metavar="MULTIPLE",
            help="Of a canary: stop it if it takes more than this, such as 2x, of the champion's time.",
        ),
    ] = None,
    min_rows: Annotated[int, typer.Option(min=1, help="Rows before a canary is judged.")] = 20,
    why: Why = None,
    force: Annotated[bool, typer.Option("--force", help="Even if its quality gate rejected it.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the trial of the model.")] = False,
) -> None:
    """Try a version beside the champion, once it is found to load and to answer.

    A canary is stopped by itself when it crosses its bounds. The champion answers all rows
    that it does not.
    """
    if stop:
        if version is not None or shadow or canary is not None:
            raise typer.BadParameter(
                f"--stop ends the trial of {model}: give no version, nor how to try it"
            )
        stop_trial(model, why)
        return
    if version is None or shadow == (canary is not None):
        raise typer.BadParameter("name a version, and either --shadow or --canary SHARE")
    bounds = (max_errors, max_latency)
    if shadow and bounds != (None, None):
        raise typer.BadParameter("--max-errors and --max-latency are for --canary")
    from sepal.registry import Registry, trials

    settings = load_settings()
    contract = pick(load_contracts(settings.contracts_path), model, "model")
    plan = trials.Plan("shadow", min_rows=min_rows)
    if canary is not None:
        plan = trials.Plan(
            "canary", canary, 0.01 if max_errors is None else max_errors, max_latency, min_rows
        )
    with Registry.open(settings) as registry:
        trial = trials.start(
            registry,
            model,
            version,
            plan,
            why or "to see how it does",
            check_of(registry, contract),
            force=force,
        )
    say(f"{trial.version} of {model} is on trial as {_mode(trial)}, beside {trial.champion}.")


@app.command("stop", epilog="Example: `sepal models trial stop iris`")
def stop_trial(model: Model, why: Why = None) -> None:
    """End the trial of a model. What it has counted stays."""
    from sepal.registry import Registry, trials

    settings = load_settings()
    pick(load_contracts(settings.contracts_path), model, "model")
    with Registry.open(settings) as registry:
        trial = trials.stop(registry, model, why or "stopped by command")
    say(f"{trial.version} of {model} is no longer on trial.")


@app.command("status", epilog="Example: `sepal models trial status iris`")
def show_status(
    model: Annotated[str | None, typer.Argument(help="One model; by default all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with all that was counted.")] = False,
) -> None:
    """Show the trial that runs, or ran last, and what it has found, with 95 % intervals."""
    from sepal.registry import Registry, trials

    settings = load_settings()
    contracts = load_contracts(settings.contracts_path)
    if model is not None:
        pick(contracts, model, "model")
    with Registry.open(settings) as registry:
        found = [(trial, trials.counted(registry, trial)) for trial in trials.latest(registry, model)]
    if as_json:
        say(json.dumps([_document(trial, counts) for trial, counts in found], indent=2, default=str))
        return
    for trial, counts in found:
        show(_table(trial, counts, contracts.get(trial.model)))
    if not found:
        say(f"No version of {model or 'any model'} has been on trial.")


def _document(trial: "Trial", counts: "Counts") -> dict[str, Any]:
    from sepal.registry import evidence

    found: dict[str, Any] = {
        "rows": int(counts.get("rows", 0)),
        "rows_seen": int(counts.get("seen", 0)),
        "rows_compared": int(counts.get("compared", 0)),
        "errors": evidence.errors(counts),
        "champion_errors": int(counts.get("champion_errors", 0)),
        "disagreement": evidence.disagreement(counts),
        "shift": evidence.shift(counts),
        "shift_size": evidence.shift_size(counts),
        "slowness": evidence.slowness(counts),
        "latency_us": {who: evidence.latency(counts, who) for who in ("champion", "challenger")},
    }
    as_plain = json.loads(json.dumps(found, default=asdict))
    return {**asdict(trial), "found": as_plain, "counts": dict(counts)}


def _table(trial: "Trial", counts: "Counts", contract: Contract | None) -> Table:
    from sepal.registry import evidence

    ended = f"; ended {trial.ended_at:%Y-%m-%d %H:%M:%S}: {trial.ended_why}" if trial.ended_at else ""
    table = Table(
        "",
        "found",
        "95 % interval",
        title=f"{trial.model}: {trial.version} as {_mode(trial)} beside {trial.champion}, "
        f"since {trial.started_at:%Y-%m-%d %H:%M:%S} UTC{ended}",
        title_justify="left",
    )
    seen, rows = counts.get("seen", 0), counts.get("rows", 0)
    share = f" ({rows / seen:.2%})" if seen else ""
    table.add_row("rows", f"{rows:,.0f} of {seen:,.0f} that came{share}", "")
    unit = getattr(contract.target, "unit", None) if contract else None
    shift = f"difference, {unit}" if unit else "probability shift"
    for name, found, form in (
        ("left without an answer", evidence.errors(counts), ".3%"),
        ("disagreement", evidence.disagreement(counts), ".3%"),
        (shift, evidence.shift(counts), "+.4f"),
        (f"{shift}, size", evidence.shift_size(counts), ".4f"),
        ("time, champion's = 1", evidence.slowness(counts), ".2f"),
    ):
        table.add_row(name, *_estimate(found, form))
    table.add_row("rows compared", f"{counts.get('compared', 0):,.0f}", "")
    for who in ("champion", "challenger"):
        table.add_row(f"{who}, µs a row", _latency(evidence.latency(counts, who)), "")
    if counts.get("champion_errors"):
        table.add_row("the champion failed on", f"{counts['champion_errors']:,.0f} rows", "")
    return table


def _estimate(found: "Estimate | None", form: str) -> tuple[str, str]:
    if found is None:
        return "nothing yet", ""
    return f"{found.value:{form}}", f"{found.low:{form}} to {found.high:{form}}"


def _latency(found: "Latency | None") -> str:
    if found is None:
        return "nothing yet"
    return f"mean {found.mean:.1f}, p50 {found.p50:.1f}, p90 {found.p90:.1f}, p99 {found.p99:.1f}"


def _mode(trial: "Trial") -> str:
    return f"canary for {100 * trial.plan.share:.3g} %" if trial.plan.mode == "canary" else "shadow"
