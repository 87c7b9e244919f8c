"""What FastAPI does not say by itself in the OpenAPI document: our problem documents."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from sepal.contracts import Contract
from sepal.errors import ConfigurationError
from sepal.gateway.problems import MEDIA_TYPE, Problem, WrongValue
from sepal.gateway.upstream import TOO_LATE

_SCHEMAS = "#/components/schemas/"


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these statuses."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {
                MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}Problem"}, "example": _example(status)}
            },
            **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        }
        for status in statuses
    }


def _example(status: int) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    detail = _DETAILS.get(status, f"{phrase}.")
    return {
        "type": "about:blank",
        "title": phrase,
        "status": status,
        "detail": detail,
        "request_id": "5f2b…",
    }


def check_names(contracts: Iterable[Contract]) -> None:
    """ConfigurationError if a contract's class would take the place of an error's schema."""
    for contract in contracts:
        if contract.features.__name__ in (Problem.__name__, WrongValue.__name__):
            raise ConfigurationError(
                f"The class {contract.features.__name__} of {contract.source} is named like the gateway's "
                "own schema of an error: give it another name."
            )


def describe_problems(app: FastAPI) -> None:
    """Put the schema of problem documents in the place of FastAPI's own validation errors."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schema = Problem.model_json_schema(ref_template=f"{_SCHEMAS}{{model}}")
        schemas.update(schema.pop("$defs"), Problem=schema)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


_DETAILS = {
    401: "Send the header X-API-Key with your key.",
    403: "This needs a key or token with the scope predict; yours has bulk.",
    429: "Too many requests: the limit is 100 requests a second. Try again in 1 second.",
    400: "The body is no JSON: Expecting value at character 0.",
    413: "10001 rows are too many: send at most 10000.",
    415: "Send JSON, with the header Content-Type: application/json.",
    422: "1 wrong value: PetalWidthCm: Input should be less than or equal to 30.",
    503: "The model server can't be reached. Try again shortly.",
    504: TOO_LATE,
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {
        "WWW-Authenticate": {"description": "What may be sent to come in.", "schema": {"type": "string"}}
    },
    429: {
        **_RETRY_AFTER,
        "RateLimit-Policy": {
            "description": "Requests that are allowed (`q`) in a window of `w` seconds.",
            "schema": {"type": "string"},
        },
        "RateLimit": {
            "description": "Requests that remain (`r`), and seconds until there are more (`t`).",
            "schema": {"type": "string"},
        },
    },
    503: _RETRY_AFTER,
}
