"""Errors as each protocol's clients expect them, wherever in the gateway they arise."""

import re
from collections.abc import Callable
from typing import Any

ErrorForm = Callable[[int, str], tuple[int, dict[str, Any]]]
"""From status and text to the protocol's status and JSON body."""


def error_form(path: str) -> ErrorForm | None:
    """The form of errors at a path; None for the gateway's own problem documents."""
    for pattern, form in _FORMS:
        if pattern.fullmatch(path):
            return form
    return None


def _open_inference(status: int, text: str) -> tuple[int, dict[str, Any]]:
    """The protocol knows 400 for whatever is wrong with a request's content."""
    return 400 if status == 422 else status, {"error": text}


def _mlflow(status: int, text: str) -> tuple[int, dict[str, Any]]:
    """MLflow's names of errors: 400 for whatever is wrong with a request's content."""
    code = _MLFLOW_CODES.get(status, "INTERNAL_ERROR" if status >= 500 else "BAD_REQUEST")
    return 400 if status == 422 else status, {"error_code": code, "message": text}


def _older(status: int, text: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": text}


_MLFLOW_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    422: "INVALID_PARAMETER_VALUE",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_FORMS: tuple[tuple[re.Pattern[str], ErrorForm], ...] = (
    (re.compile(r"/v2(/.*)?", re.DOTALL), _open_inference),
    (re.compile(r"(/[^/]+)?/invocations|/ping|/version"), _mlflow),
    (re.compile(r"/predict|/predict-proba"), _older),
)
