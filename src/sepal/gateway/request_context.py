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
    """One request: its id, which is the client's `X-Request-ID` if that is sound, and when it came.

    `key_id` is the id of its key, or its token's subject. `scopes` is what it may do: None if
    access is off, nothing if nobody sent it.
    """

    request_id: str
    arrived: float = field(default_factory=time.perf_counter)
    key_id: str | None = None
    scopes: frozenset[str] | None = None

    def may(self, name: str) -> bool:
        """Whether whoever sent it may do what needs this scope."""
        return self.scopes is None or name in self.scopes

    @property
    def is_from_a_stranger(self) -> bool:
        """Whether access is on, and nobody is known to have sent it."""
        return self.scopes is not None and self.key_id is None


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
