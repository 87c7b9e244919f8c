"""MLflow's scoring protocol, which is also that of a SageMaker container."""

from importlib.metadata import version as release_of
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from sepal.contracts import Contract, Labels
from sepal.errors import NotFoundError
from sepal.gateway.answers import Answers
from sepal.gateway.media_types import is_json, media_type
from sepal.gateway.protocols.bodies import read_object
from sepal.gateway.protocols.described import TEXT, json_body, responses
from sepal.gateway.protocols.quick_route import Handle
from sepal.gateway.protocols.served import Served, version_header
from sepal.gateway.protocols.tables import Table, read_csv

TAG = "MLflow scoring"

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class InvocationErrorDocument(BaseModel):
    """What went wrong, in MLflow's words."""

    error_code: str = Field(examples=["INVALID_PARAMETER_VALUE"])
    message: str = Field(description="What went wrong, and the way out.")


class Split(BaseModel):
    """Rows as pandas has them by `to_dict(orient="split")`."""

    columns: list[str]
    data: list[list[Any]]


class Invocation(BaseModel):
    """Rows in exactly one of these forms."""

    model_config = ConfigDict(extra="forbid")

    dataframe_split: Split | None = Field(None, description="Names of columns, then rows.")
    dataframe_records: list[dict[str, Any]] | None = Field(None, description="Rows as objects.")
    instances: list[Any] | None = Field(None, description="Rows as objects, or as arrays in order.")
    inputs: list[Any] | dict[str, list[Any]] | None = Field(None, description="The same, or columns.")


class Predictions(BaseModel):
    """A label or a number for each row, in order."""

    predictions: list[str | float]


def mlflow_routes(served: Served) -> tuple[APIRouter, dict[str, Handle]]:
    """The routes, and those of them that may go around the framework."""
    router = APIRouter(tags=[TAG])
    quick = {}
    for contract in served.contracts.values():
        path = f"/{contract.name}/invocations"
        quick[path] = _add(router, served, path, contract)
    quick["/invocations"] = _add(router, served, "/invocations", served.default)

    @router.post("/{model}/invocations", include_in_schema=False)
    async def unknown_model(model: str) -> None:
        served.contract(model)

    @router.get("/version", summary="Sepal's release", responses=TEXT)
    async def version() -> Response:
        return PlainTextResponse(release_of("sepal"))

    return router, quick


def _add(router: APIRouter, served: Served, path: str, contract: Contract | None) -> Handle:
    async def invoke(request: Request) -> Response:
        if contract is None:
            there = ", ".join(f"/{name}/invocations" for name in served.contracts)
            raise NotFoundError(
                f"Name the model in the path: {there}. "
                "Or set SEPAL_DEFAULT_MODEL to the one that /invocations is to mean."
            )
        body = await served.read(request, contract)
        table = _read(request, contract, body)
        answers = await served.score(request, contract, table.columns_of(contract), table.n_rows)
        found = Predictions.model_construct(predictions=_predictions(contract, answers))
        return Response(
            found.__pydantic_serializer__.to_json(found),
            headers=version_header(contract, answers),
            media_type="application/json",
        )

    shown = contract or next(iter(served.contracts.values()))
    router.post(
        path,
        name=f"invocations_{contract.name}" if contract else "invocations",
        summary="Predictions for a data frame",
        description="The body may also be `text/csv` with a header line.",
        openapi_extra=json_body(Invocation, {"data frame": {"dataframe_records": [shown.example]}}),
        responses=responses(Predictions, InvocationErrorDocument, 400, 404, 413, 415, 503, 504),
    )(invoke)
    return invoke


def _read(request: Request, contract: Contract, body: bytes) -> Table:
    kind = media_type(request)
    if kind == "text/csv":
        return read_csv(body, contract)
    if not is_json(kind):
        raise HTTPException(415, f"Send application/json or text/csv, not {kind or 'a body of no type'}.")
    document = read_object(body)
    if document.pop("params", None):
        raise HTTPException(400, "Sepal's models take no params. Leave them out.")
    if len(document) != 1 or (form := next(iter(document))) not in _FORMS:
        raise HTTPException(400, f"The body should have exactly one of {', '.join(_FORMS)}.")
    return Table.of(form, document[form], contract)


def _predictions(contract: Contract, answers: Answers) -> list[Any]:
    numbers = answers.numbers[1 :: contract.answer_width]
    if isinstance(contract.target, Labels):
        names = contract.target.names
        return [names[int(code)] for code in numbers]
    return numbers.tolist()
