"""The wire formats of the services that Sepal takes over from: docs/compatibility.md."""

from time import perf_counter
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from sepal.contracts import Contract, Labels
from sepal.errors import WrongValuesError
from sepal.gateway.answers import Answers
from sepal.gateway.media_types import is_json, media_type
from sepal.gateway.protocols.bodies import read_object
from sepal.gateway.protocols.described import json_body, responses
from sepal.gateway.protocols.quick_route import Handle
from sepal.gateway.protocols.served import Served, version_header, versions_of
from sepal.gateway.protocols.tables import Table, in_order

TAG = "Compatibility with older services"


class OlderErrorDocument(BaseModel):
    """What went wrong."""

    error: str = Field(description="What went wrong, and the way out.")


class RowsWithoutNames(BaseModel):
    """Rows of values in the order of the features."""

    input: list[list[Any]] = Field(examples=[[[5, 2, 3, 4]]])


def older_routes(served: Served) -> tuple[APIRouter, dict[str, Handle]]:
    """The routes, and those of them that may go around the framework."""
    router = APIRouter(tags=[TAG])
    handles: dict[str, Handle] = {"/predict": _predict(served), "/predict-proba": _predict_proba(served)}
    errors = responses(None, OlderErrorDocument, 400, 404, 413, 415, 422, 503, 504)
    objects = {name: contract.example for name, contract in served.contracts.items()}
    rows = {"rows without names": {"input": [[5, 2, 3, 4]]}}
    router.post(
        "/predict",
        name="older_predict",
        summary="Prediction for one object, or for rows without names",
        description="Kept for clients of older services: an object with the features of one model, "
        "or `input` with a list of rows. New clients use `/{model}/predict`.",
        openapi_extra=json_body(dict[str, Any], {**objects, **rows}),
        responses=errors,
    )(handles["/predict"])
    router.post(
        "/predict-proba",
        name="older_predict_proba",
        summary="Probabilities for rows without names",
        description="Kept for clients of an older service. New clients use `/{model}/predict-proba`.",
        openapi_extra=json_body(RowsWithoutNames, rows),
        responses=errors,
    )(handles["/predict-proba"])
    return router, handles


def _predict(served: Served) -> Handle:
    async def predict(request: Request) -> JSONResponse:
        started = perf_counter()
        body = await _read(served, request)
        if "input" in body:
            contract, answers = await _score_rows(served, request, body["input"])
            return _answer(contract, answers, {"prediction": _predictions(contract, answers)})
        contract = _meant(served, body)
        answers = await served.score_encoded(request, contract, _encode_one(contract, body))
        found = _predictions(contract, answers)[0]
        if not isinstance(contract.target, Labels):
            version = versions_of(contract, answers)[0]
            return _answer(contract, answers, {contract.target.column: found, "model_version": version})
        content = {
            "prediction": int(answers.numbers[1]),
            "class_name": found,
            "processing_time_ms": round((perf_counter() - started) * 1000, 3),
        }
        return _answer(contract, answers, content)

    return predict


def _predict_proba(served: Served) -> Handle:
    async def predict_proba(request: Request) -> JSONResponse:
        body = await _read(served, request)
        if "input" not in body:
            raise HTTPException(422, 'The field input is missing. Send {"input": [[…], …]}.')
        contract, answers = await _score_rows(served, request, body["input"])
        if not contract.target.has_probabilities:
            raise HTTPException(404, f"{contract.name} has no probabilities. Use /predict.")
        width = contract.answer_width
        columns = [answers.numbers[at::width] for at in range(2, width)]
        content = {
            "prediction": _predictions(contract, answers),
            "probabilities": list(zip(*columns, strict=True)),
        }
        return _answer(contract, answers, content)

    return predict_proba


async def _read(served: Served, request: Request) -> dict[str, Any]:
    if not is_json(media_type(request)):
        raise HTTPException(415, "Send JSON, with the header Content-Type: application/json.")
    return read_object(await served.read(request))


def _encode_one(contract: Contract, row: dict[str, Any]) -> bytes:
    try:
        return contract.encode([contract.features.model_validate(row)])
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise WrongValuesError([{**one, "loc": ("body", "row", *one["loc"])} for one in found]) from error


async def _score_rows(served: Served, request: Request, rows: Any) -> tuple[Contract, Answers]:  # noqa: ANN401 (JSON)
    contract = _meant_without_names(served)
    if not isinstance(rows, list):
        raise HTTPException(400, "input should be a list of rows.")
    if not rows or not all(isinstance(row, list) for row in rows):
        raise HTTPException(422, "input should have one or more rows, each a list of numbers.")
    for width in {len(row) for row in rows}:
        in_order(contract, width)
    columns = Table.of_rows(in_order(contract, len(rows[0])), rows).columns_of(contract)
    return contract, await served.score(request, contract, columns, len(rows))


def _meant_without_names(served: Served) -> Contract:
    """The default model, or else the only one that gives labels, as the older service did."""
    labels = [c for c in served.contracts.values() if isinstance(c.target, Labels)]
    if (found := served.default or (labels[0] if len(labels) == 1 else None)) is None:
        raise _ambiguous(served)
    return found


def _meant(served: Served, row: dict[str, Any]) -> Contract:
    """The model that has the most of a row's features; of several the default one."""
    known = {c.name: len(row.keys() & c.column_of.keys()) for c in served.contracts.values()}
    found = [served.contracts[name] for name, count in known.items() if 0 < count == max(known.values())]
    if not found:
        raise HTTPException(422, f"No model takes these fields. There are: {', '.join(served.contracts)}.")
    if len(found) > 1 and served.default not in found:
        raise _ambiguous(served)
    return found[0] if len(found) == 1 else served.contracts[served.settings.default_model]


def _ambiguous(served: Served) -> HTTPException:
    there = ", ".join(f"/{name}/predict" for name in served.contracts)
    return HTTPException(
        404, f"Several models may be meant. Set SEPAL_DEFAULT_MODEL, or use one of {there}."
    )


def _predictions(contract: Contract, answers: Answers) -> list[Any]:
    """Numbers, or labels as the older services named them: `setosa` for `Iris-setosa`."""
    numbers = answers.numbers[1 :: contract.answer_width]
    if not isinstance(contract.target, Labels):
        return numbers.tolist()
    heads, _, names = zip(*(name.rpartition("-") for name in contract.target.names), strict=True)
    if len(set(heads)) > 1:
        names = contract.target.names
    return [names[int(code)] for code in numbers]


def _answer(contract: Contract, answers: Answers, content: dict[str, Any]) -> JSONResponse:
    return JSONResponse(content, headers=version_header(contract, answers))
