"""From an error's status and problem document (RFC 9457) to an error of ours."""

import json
from collections.abc import Mapping
from http.client import responses
from typing import Any

from sepal.errors import (
    AccessDeniedError,
    ModelNotServedError,
    RequestRefusedError,
    ServiceAwayError,
    ServiceError,
    ServiceTooSlowError,
    TooLargeError,
)

_NAMED = 3
"""Wrong values that an error's text names; its problem document has the rest."""

_KINDS: Mapping[int, type[ServiceError]] = {
    401: AccessDeniedError,
    403: AccessDeniedError,
    404: ModelNotServedError,
    413: TooLargeError,
    429: ServiceAwayError,
    503: ServiceAwayError,
    504: ServiceTooSlowError,
}


def error_of(status: int, body: bytes) -> ServiceError:
    """The error that an answer is."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    problem = document if isinstance(document, dict) and "detail" in document else None
    kind = _KINDS.get(status, RequestRefusedError if 400 <= status < 500 else ServiceError)
    return kind(_told(status, problem), problem)


def of_part(error: ServiceError, first_row: int) -> ServiceError:
    """The error of a part of the rows, its pointers told as those of all rows."""
    if not first_row or not error.problem or not isinstance(error.problem.get("errors"), list):
        return error
    wrong = [
        {**each, "pointer": _shifted(str(each.get("pointer", "")), first_row)}
        for each in error.problem["errors"]
    ]
    named = "; ".join(f"{each['pointer'].lstrip('#/')}: {each.get('detail')}" for each in wrong[:_NAMED])
    problem = {**error.problem, "errors": wrong, "detail": named}
    return type(error)(_told(int(error.problem.get("status", error.status)), problem), problem)


def _shifted(pointer: str, by: int) -> str:
    start, slash, rest = pointer.removeprefix("#/").partition("/")
    return f"#/{int(start) + by}{slash}{rest}" if start.isdigit() else pointer


def _told(status: int, problem: Mapping[str, Any] | None) -> str:
    if problem is None:
        phrase = f"{status} {responses.get(status, '')}".strip()
        return f"The service answered {phrase}, with no problem document. Is it Sepal?"
    request = f" (request {problem['request_id']})" if "request_id" in problem else ""
    return f"{status} {problem.get('title', '')}: {str(problem['detail']).rstrip('.')}{request}."
