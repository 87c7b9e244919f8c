"""Every error as a problem document, as https://www.rfc-editor.org/rfc/rfc9457 has it."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import Scope

from sepal.errors import AccessError, SepalError
from sepal.gateway.request_context import context_of

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

MOST_ERRORS = 100
"""Wrong values that one answer names; there may be one for each value sent."""

_LONGEST_VALUE = 100

_LONGEST_RETRY = 60
"""Seconds; what is expected for longer than that is not known well enough."""


class WrongValue(BaseModel):
    """One wrong value of a request."""

    pointer: str = Field(
        description="Where it is in the body: a JSON pointer (RFC 6901); or ? and a parameter's name.",
        examples=["#/0/PetalWidthCm"],
    )
    detail: str = Field(description="What is wrong with it.", examples=["Input should be greater than 0"])
    value: Any = Field(None, description="The value, if it is short.", examples=[-1])


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    type: str = Field("about:blank", description="`about:blank`: the status says what kind it is.")
    title: str = Field(description="The kind of problem.", examples=["Wrong values"])
    status: int = Field(description="The HTTP status.", examples=[422])
    detail: str = Field(description="This very problem, and the way out.")
    request_id: str = Field(description="The request's `X-Request-ID`; name it when you ask for help.")
    errors: list[WrongValue] | None = Field(None, description="The wrong values.")


def install(app: FastAPI, retry_after: int) -> None:
    """Have an application answer every error with a problem document."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, SepalError)  # noqa: S101 (by registration)
        return known(request.scope, error, retry_after)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 (by registration)
        detail = str(error.detail)
        if detail in _GENERIC:
            detail = _GENERIC[detail].format(method=request.method, **(error.headers or {}))
            if request.app.openapi_url is None:
                detail = detail.removesuffix(" Visit /docs.")
        return problem(request.scope, error.status_code, None, detail, headers=error.headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 (by registration)
        return _invalid(request.scope, error.errors())

    async def bug(request: Request, error: Exception) -> Response:
        return unexpected(request.scope, error)

    app.add_exception_handler(SepalError, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, bug)


def known(scope: Scope, error: SepalError, retry_after: int) -> Response:
    """One of our own errors as a response."""
    context_of(scope).error = _reason(error)
    headers = dict(error.headers) if isinstance(error, AccessError) else {}
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(_whole_seconds(error.retry_after) or retry_after)
    return problem(scope, error.status, error.title, str(error), headers=headers)


def _whole_seconds(seconds: float | None) -> int | None:
    return None if seconds is None else min(max(math.ceil(seconds), 1), _LONGEST_RETRY)


def unexpected(scope: Scope, error: Exception) -> Response:
    """A bug of ours as a response that says nothing of it; the log has the rest."""
    logger.error("request %s failed unexpectedly", context_of(scope).request_id, exc_info=error)
    return problem(scope, 500, SepalError.title, "Something went wrong here; it has been logged.")


def problem(
    scope: Scope,
    status: int,
    title: str | None,
    detail: str,
    *,
    errors: list[WrongValue] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One problem document as a response."""
    context = context_of(scope)
    context.error = context.error or _REASONS.get(status, f"status_{status}")
    document = Problem(
        title=title or HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        request_id=context.request_id,
        errors=errors,
    )
    return JSONResponse(
        document.model_dump(exclude_none=True), status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def _reason(error: SepalError) -> str:
    """One of our own errors in a word or two, for the log and the metrics: `model_server_timeout`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__.removesuffix("Error")).lower()


_REASONS = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "wrong_media_type",
    422: "wrong_values",
    500: "internal_error",
}
"""What the log and the metrics call other problems."""

_GENERIC = {
    "There was an error parsing the body": "The body can't be read as JSON.",
    "Not Found": "There is nothing at this path. Visit /docs.",
    "Method Not Allowed": "{method} is not allowed here. Allowed: {Allow}.",
}
"""What to say in the place of the framework's generic words."""


def _invalid(scope: Scope, errors: Sequence[Mapping[str, Any]]) -> Response:
    first = errors[0]
    if first["type"] == "json_invalid":
        at = first["loc"][-1]
        return problem(scope, 400, None, f"The body is no JSON: {first['ctx']['error']} at character {at}.")
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return problem(scope, 400, None, "The body is empty. Send a row, or an array of rows.")
    if first["type"] == "too_long":
        most = first["ctx"]["max_length"]
        return problem(
            scope, 413, None, f"{first['ctx']['actual_length']} rows are too many: send at most {most}."
        )
    named = [
        WrongValue(pointer=_pointer(error["loc"]), detail=_detail(error), value=_short(error["input"]))
        for error in errors[:MOST_ERRORS]
    ]
    detail = f"{len(errors)} wrong value{'s' if len(errors) > 1 else ''}"
    if len(errors) > MOST_ERRORS:
        detail += f", of which the first {MOST_ERRORS} are named"
    detail += f": {_told(named[0])}"
    return problem(scope, 422, "Wrong values", detail, errors=named)


def _pointer(loc: Sequence[str | int]) -> str:
    """Pydantic's location without its first two parts: `body`, and which of the body's forms it is.

    Of a parameter, its name.
    """
    if loc[0] == "query":
        return f"?{loc[1]}"
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in loc[2:])
    return "/".join(("#", *parts))


def _detail(error: Mapping[str, Any]) -> str:
    if error["type"] in ("model_type", "model_attributes_type"):
        return "A row should be an object"
    return str(error["msg"]).removeprefix("Value error, ")


def _told(wrong: WrongValue) -> str:
    return f"{wrong.pointer.lstrip('#/') or 'the body'}: {wrong.detail}."


def _short(value: object) -> object:
    """A value that can be shown, or None: containers and long ones are not, NaN is no JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}…"
    return value if isinstance(value, int | float | bool) else None
