"""What FastAPI can't derive of a protocol's routes for the OpenAPI document: bodies and errors."""

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter

TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Successful Response", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
"""The `responses` of a route that answers with plain text."""


def json_body(
    body: Any,  # noqa: ANN401 (a type)
    examples: dict[str, Any] | None = None,
    *,
    required: bool = True,
) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its JSON body itself."""
    content: dict[str, Any] = {"schema": inlined(body)}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"requestBody": {"required": required, "content": {"application/json": content}}}


def responses(
    ok: type[BaseModel] | None, error: type[BaseModel], *statuses: int
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: what it answers, and the statuses of its errors."""
    found: dict[int | str, dict[str, Any]] = {
        status: {"model": error, "description": HTTPStatus(status).phrase} for status in statuses
    }
    return {**({200: {"model": ok}} if ok else {}), **found}


def inlined(body: Any) -> dict[str, Any]:  # noqa: ANN401 (a type)
    """A type's JSON schema without references, since FastAPI moves none that it does not know."""
    schema = TypeAdapter(body).json_schema()
    definitions = schema.pop("$defs", {})

    def inline(part: Any) -> Any:  # noqa: ANN401 (JSON)
        if isinstance(part, list):
            return [inline(item) for item in part]
        if not isinstance(part, dict):
            return part
        if name := part.get("$ref", "").removeprefix("#/$defs/"):
            return inline(definitions[name])
        return {key: inline(value) for key, value in part.items()}

    found: dict[str, Any] = inline(schema)
    return found
