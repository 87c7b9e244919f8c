"""What the gateway knows of a request while it is under way, from its entrance to its end."""

import os
import re
import time
from dataclasses import dataclass, field
from itertools import count

from starlette.types import Scope

_SOUND = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_KEY = "sepal.context"

_PROCESS = os.urandom(8).hex()
_COUNT = count()
"""Together they are an id that no other request has, and cost less than a random number each."""


@dataclass(slots=True)
class RequestContext:
    """One request: its id, which is the client's `X-Request-ID` if that is sound, and when it came."""

    request_id: str
    arrived: float = field(default_factory=time.perf_counter)


def open_context(scope: Scope) -> RequestContext:
    """Begin a request."""
    scope[_KEY] = context = RequestContext(_identify(scope))
    return context


def context_of(scope: Scope) -> RequestContext:
    """The context of a request that has come through the entrance."""
    context: RequestContext = scope[_KEY]
    return context


def _identify(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SOUND.fullmatch(value):
            return str(value.decode())
    return f"{_PROCESS}{next(_COUNT):016x}"
