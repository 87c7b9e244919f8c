"""`sepal keys`: the API keys that let callers in."""

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from sepal.access.callers import Scope
from sepal.access.keys import LONGEST_NAME, Key, KeyFile
from sepal.access.rates import Rate
from sepal.cli.terminal import say, show
from sepal.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Makes, lists and revokes the API keys that let callers in.")

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@app.command(epilog="Example: `sepal keys create shop --scope predict --rate 100/s --expires 90d`")
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, such as shop; for people to know it by.")],
    scope: Annotated[
        list[Scope],
        typer.Option(help="What it is for: predict, bulk (jobs) or admin. May be given several times."),
    ],
    rate: Annotated[
        str | None,
        typer.Option(help="Its requests, such as 100/s, 1000/m or none; by default SEPAL_RATE."),
    ] = None,
    burst: Annotated[
        int, typer.Option(min=0, help="How many of these may come at once; 0 for as many as the unit has.")
    ] = 0,
    expires: Annotated[
        str | None, typer.Option(help="After how long it ends, such as 12h or 30d; by default never.")
    ] = None,
) -> None:
    """Make a key and print it, this once: what is kept can't be turned back into it."""
    if not 0 < len(name) <= LONGEST_NAME:
        raise typer.BadParameter(f"a name has 1 to {LONGEST_NAME} characters", param_hint="NAME")
    if burst and rate is None:
        raise typer.BadParameter("a burst needs a rate, such as --rate 100/s", param_hint="--burst")
    limit = Rate.parse(rate, burst) if rate else None
    lasts = None if expires is None else _duration(expires)
    key, text = KeyFile(load_settings().keys).create(name, tuple(dict.fromkeys(scope)), rate, burst, lasts)
    until = "without end" if key.expires_at is None else f"until {key.expires_at:%Y-%m-%d %H:%M} UTC"
    allowed = f", {limit}" if limit else ""
    sys.stderr.write(f"Key {key.id} of {name}, for {', '.join(key.scopes)}, {until}{allowed}:\n")
    say(text)


@app.command("list", epilog="Example: `sepal keys list`")
def list_keys() -> None:
    """List the keys: none of them whole."""
    keys = KeyFile(load_settings().keys).read()
    if not keys:
        say("No key yet. Make one: sepal keys create NAME --scope predict")
        return
    now = datetime.now(UTC)
    table = Table("id", "name", "state", "scopes", "rate", "made (UTC)", "expires (UTC)", "revoked (UTC)")
    for key in keys:
        table.add_row(
            *(key.id, Text(key.name), key.state(now), ", ".join(key.scopes), _rate(key)),
            *(_time(at) for at in (key.made_at, key.expires_at, key.revoked_at)),
        )
    show(table)


@app.command(epilog="Example: `sepal keys revoke 0f3c9a7be214`")
def revoke(
    number: Annotated[str, typer.Argument(metavar="ID", help="The key's id: sepal keys list.")],
) -> None:
    """Have a key let nobody in any more: every gateway that reads this file knows within two seconds."""
    key = KeyFile(load_settings().keys).revoke(number)
    say(f"Key {key.id} of {key.name} is revoked since {_time(key.revoked_at)} UTC.")


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9]\d{0,8})([smhd])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time: write it like 12h or 30d", param_hint="--expires")
    try:
        lasts = timedelta(**{_UNITS[found[2]]: int(found[1])})
        datetime.now(UTC) + lasts
    except OverflowError as error:
        raise typer.BadParameter(f"{text} is too long", param_hint="--expires") from error
    return lasts


def _rate(key: Key) -> str:
    return f"{key.rate}, burst {key.burst}" if key.burst else key.rate or "SEPAL_RATE"


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
