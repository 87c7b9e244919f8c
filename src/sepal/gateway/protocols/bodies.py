"""Reads a request's body as far as its bounds allow, and its JSON."""

from typing import Any, TypeVar

import pydantic_core
from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from sepal.errors import ClientGoneError
from sepal.gateway.json_route import bounded, check_length

M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request, most: int) -> bytes:
    """The body, of at most so many bytes, uncompressed; HTTPException 413 or 415, ClientGoneError."""
    check_length(request.scope, most)
    try:
        return await Request(request.scope, bounded(request.receive, most)).body()
    except ClientDisconnect as error:
        raise ClientGoneError("The client has gone before its rows were here.") from error


def read_json(body: bytes) -> Any:  # noqa: ANN401 (JSON is anything)
    """The JSON of a body; HTTPException 400."""
    if not body:
        raise HTTPException(400, "The body is empty.")
    try:
        return pydantic_core.from_json(body)
    except ValueError as error:
        raise HTTPException(400, f"The body is no JSON: {error}.") from error


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; HTTPException 400."""
    found = read_json(body)
    if not isinstance(found, dict):
        raise HTTPException(400, "The body should be a JSON object.")
    return found


def read_model(model: type[M], body: bytes) -> M:
    """The JSON of a body as a model of its form; HTTPException 400 names the first thing that is wrong."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise HTTPException(400, f"The body is no JSON: {first['ctx']['error']}.") from error
        place = ".".join(map(str, first["loc"])) or "the body"
        raise HTTPException(400, f"{place}: {first['msg']}.") from error
