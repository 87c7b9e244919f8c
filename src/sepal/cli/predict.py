"""`sepal predict`: asks the running service, through its Python client."""

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from sepal.cli.rows import rows_of_options, rows_of_text
from sepal.cli.terminal import show
from sepal.errors import DataError, ModelNotServedError, NotFoundError
from sepal.extras import need
from sepal.settings import Settings, load_settings

if TYPE_CHECKING:
    from sepal.client import Client, ModelDescription, Prediction


class Form(StrEnum):
    """How answers are shown."""

    table = "table"
    json = "json"


def predict(
    model: Annotated[str, typer.Argument(help="The model, such as iris.")],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE", help="The row's values, if they do not all follow --row."),
    ] = None,
    row: Annotated[
        list[str] | None,
        typer.Option(
            help="A row: 'NAME=VALUE NAME=VALUE' or a JSON object. Once for each row.", metavar="ROW"
        ),
    ] = None,
    input_: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="File of rows, CSV with a header, JSON or JSON Lines, told apart by how it begins; "
            "- for standard input.",
        ),
    ] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Show each label's probability too.")] = False,
    form: Annotated[
        Form,
        typer.Option("--format", help="table; or json, an object for one --row, else an array."),
    ] = Form.table,
    url: Annotated[
        str | None,
        typer.Option(help="The service; by default SEPAL_CLIENT_URL, or the gateway of this machine."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds for all of it, retries included.", min=0.001, max=86_400)
    ] = 30.0,
) -> None:
    """Ask the running service for predictions.

    Rows come from --row or --input, or from standard input if neither is given. A column
    of a CSV that the model does not take is left out. SEPAL_CLIENT_API_KEY or
    SEPAL_CLIENT_TOKEN lets you in where credentials are wanted. For big files there is
    `sepal score`.

    Exit codes: 0 done, 2 wrong options, 3 wrong settings, 4 no such model or file, 5 rows that
    can't be read or that the service refuses, 16 the service is away or too slow, 17 no access.
    """
    if (row or values) and input_ is not None:
        raise typer.BadParameter("give rows by --row or by --input, not by both")
    if not (row or values) and input_ is None and sys.stdin.isatty():
        raise typer.BadParameter("give rows by --row or --input, or on standard input")
    need("httpx", "client")
    alone = bool(row or values) and len(row or ()) < 2
    with _client(load_settings(), url, timeout) as client:
        described = _described(client, model)
        if row or values:
            rows = rows_of_options(row or (), values or (), described)
        else:
            rows = rows_of_text(_read(input_ or "-"), described)
        answers = client.predict(model, rows, probabilities=proba)
    if form is Form.json:
        documents = [answer.model_dump(exclude_none=True) for answer in answers]
        sys.stdout.write(json.dumps(documents[0] if alone else documents, ensure_ascii=False) + "\n")
    else:
        show(_table(answers, _unit(described)))


def _client(settings: Settings, url: str | None, timeout: float) -> "Client":
    from sepal.client import Client

    key, token = settings.client_api_key, settings.client_token
    return Client(
        url or settings.service_url,
        api_key=key.get_secret_value() if key else None,
        token=token.get_secret_value() if token else None,
        ca_file=settings.client_ca,
        timeout=timeout,
    )


def _described(client: "Client", model: str) -> "ModelDescription":
    """What the service says of the model."""
    models = {described.name: described for described in client.models()}
    if model not in models:
        raise ModelNotServedError(
            f"The service has no model {model!r}. It has: {', '.join(sorted(models)) or 'none'}."
        )
    return models[model]


def _read(source: str) -> str:
    try:
        if source == "-":
            return sys.stdin.read().removeprefix("\ufeff")
        return Path(source).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{source} is no UTF-8 text: {error}.") from error
    except OSError as error:
        raise NotFoundError(f"{source} can't be read: {error.strerror}.") from error


def _unit(described: "ModelDescription") -> str:
    return str(described.target.get("unit") or "")


def _table(answers: "Sequence[Prediction]", unit: str) -> Table:
    labels = list((answers[0].probabilities or {}) if answers else {})
    table = Table("row", f"prediction{f' ({unit})' if unit else ''}", "version", *labels)
    for at, answer in enumerate(answers):
        output = answer.output if isinstance(answer.output, str) else f"{answer.output:,.6g}"
        chances = [f"{(answer.probabilities or {})[label]:.4f}" for label in labels]
        table.add_row(str(at), output, answer.model_name, *chances)
    return table
