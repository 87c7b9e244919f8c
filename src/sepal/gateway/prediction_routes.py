"""The prediction routes: `POST /{model}/predict` and `/predict-proba`, made from each contract."""

import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, HTTPException, Request, Response
from pydantic import Discriminator, Field, Tag

from sepal.contracts import Contract, Features
from sepal.contracts.catalogue import pick
from sepal.gateway.answers import formatter
from sepal.gateway.deadline import HEADER as DEADLINE
from sepal.gateway.deadline import patience
from sepal.gateway.json_route import json_route
from sepal.gateway.openapi import problem_responses
from sepal.gateway.prediction import Predictor, prediction_path
from sepal.gateway.request_context import context_of
from sepal.gateway.trial_key import HEADER, trial_key
from sepal.settings import Settings

TrialKey = Annotated[
    str | None,
    Header(
        alias=HEADER,
        description="While a canary runs, requests with the same key, such as a user's id, are answered "
        "by the same version.",
    ),
]

Deadline = Annotated[
    str | None,
    Header(
        alias=DEADLINE,
        description="Seconds that you will wait for the answer, such as `0.5`. What could not be "
        "answered by then is refused at once.",
    ),
]

PROBLEMS = (400, 413, 415, 422, 503, 504)


def prediction_routes(
    contracts: dict[str, Contract], predictor: Callable[[str], Predictor], settings: Settings
) -> APIRouter:
    """The routes of all contracts, and the answer to models that do not exist."""
    router = APIRouter(route_class=json_route(settings.max_body_bytes))
    for contract in contracts.values():
        _add(router, contract, predictor, settings, probabilities=False)
        if contract.target.has_probabilities:
            _add(router, contract, predictor, settings, probabilities=True)

    unknown = APIRouter()

    @unknown.post("/{model}/predict", include_in_schema=False)
    @unknown.post("/{model}/predict-proba", include_in_schema=False)
    async def unknown_model(model: str, request: Request) -> None:
        contract = pick(contracts, model, "model")
        raise HTTPException(404, f"{contract.name} has no {request.url.path.rpartition('/')[2]}.")

    router.include_router(unknown)
    return router


def _add(
    router: APIRouter,
    contract: Contract,
    predictor: Callable[[str], Predictor],
    settings: Settings,
    *,
    probabilities: bool,
) -> None:
    what, answer = "predict", contract.prediction
    if probabilities:
        what, answer = "predict-proba", contract.prediction_with_probabilities
    rows_type: Any = _row_or_rows(contract, settings.max_rows)
    format_answers = formatter(contract, probabilities=probabilities)
    answer_type: Any = answer | list[answer]  # type: ignore[valid-type]  # made at run time

    async def endpoint(
        request: Request,
        rows: Any,  # noqa: ANN401 (the real type is set below)
        _key: TrialKey = None,
        _deadline: Deadline = None,
    ) -> Response:
        many = isinstance(rows, list)
        asked = rows if many else [rows]
        scope = request.scope
        deadline = time.monotonic() + patience(scope, settings.request_timeout)
        found = await predictor(contract.name).predict(
            asked, context_of(scope).gone, trial_key(scope), deadline
        )
        answers = format_answers(found)
        content = b"[" + b",".join(answers) + b"]" if many else answers[0]
        return Response(content, media_type="application/json")

    endpoint.__annotations__["rows"] = Annotated[rows_type, Body(openapi_examples=_examples(contract))]
    router.add_api_route(
        prediction_path(contract, probabilities),
        endpoint,
        methods=["POST"],
        name=f"{contract.name}_{what.replace('-', '_')}",
        operation_id=f"{contract.name}_{what.replace('-', '_')}",
        summary=f"{'Probabilities' if probabilities else 'Prediction'} for one row or many",
        description=contract.description,
        tags=[contract.name],
        response_model=answer_type,
        responses=problem_responses(*PROBLEMS),
    )


def _row_or_rows(contract: Contract, max_rows: int) -> object:
    """One row, or an array of rows; told apart before validation, so that errors speak of one form."""
    row: type[Features] = contract.features
    rows = Annotated[
        list[row],  # type: ignore[valid-type]  # made at run time
        Field(min_length=1, max_length=max_rows, title=f"{row.__name__} rows"),
    ]
    return Annotated[
        Annotated[row, Tag("row")] | Annotated[rows, Tag("rows")],
        Discriminator(lambda body: "rows" if isinstance(body, list) else "row"),
    ]


def _examples(contract: Contract) -> dict[str, Any]:
    full = {column.name: column.example for column in contract.columns}
    examples = {"one row": {"value": contract.example}, "many rows": {"value": [contract.example, full]}}
    if full != contract.example:
        examples["one row with all features"] = {"value": full}
    return examples
