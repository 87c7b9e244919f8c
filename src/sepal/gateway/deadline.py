"""The header `X-Request-Deadline`: how long the client will wait for its answer."""

import re

from starlette.types import Scope

from sepal.errors import DeadlineError
from sepal.gateway.request_context import context_of

HEADER = "X-Request-Deadline"

_DECIMAL = re.compile(rb"\d{1,9}(\.\d{0,9})?|\.\d{1,9}")
_SHOWN = 40


def patience(scope: Scope, longest: float) -> float:
    """Seconds that a request's client will wait, `longest` at most; DeadlineError if it says nonsense."""
    value = context_of(scope).deadline
    if value is None:
        return longest
    if not _DECIMAL.fullmatch(value) or not (seconds := float(value)):
        said = value[:_SHOWN].decode("latin-1")
        raise DeadlineError(
            f"{HEADER} is {said!r}: send the seconds that you will wait, "
            "a decimal number more than 0, such as 0.5."
        )
    return min(seconds, longest)
