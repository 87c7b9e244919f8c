"""What the gateway knows of a request while it is under way, from its entrance to its end."""

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from starlette.types import Receive, Scope

_READ = frozenset((b"x-request-id", b"x-request-deadline", b"content-length", b"content-encoding"))

_SOUND = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_KEY = "sepal.context"

_LITTLE = 2**16
"""Bytes of a body that are read to its end even if nobody needs it any more."""

_PROCESS = os.urandom(8).hex()
_COUNT = count()
"""Together they are an id that no other request has, and cost less than a random number each."""


@dataclass(slots=True)
class RequestContext:
    """One request: its id, which is the client's `X-Request-ID` if that is sound, and when it came.

    `body_bytes` is how long its body is, as far as it says; `encoding` how that is compressed;
    `deadline` its `X-Request-Deadline`, as it was sent. `key_id` is the id of its key, or its
    token's subject; `scopes` what it may do: None if access is off, nothing if nobody sent it.
    """

    request_id: str
    arrived: float = field(default_factory=time.perf_counter)
    body_bytes: int = 0
    encoding: bytes = b""
    deadline: bytes | None = None
    cycle: object = None
    key_id: str | None = None
    scopes: frozenset[str] | None = None

    def gone(self) -> bool:
        """Whether the client has hung up, as far as uvicorn knows; asking costs no turn of the loop."""
        return getattr(self.cycle, "disconnected", False)

    def unread(self) -> bool:
        """Whether much of the body has not come in yet, or nobody knows how much."""
        return getattr(self.cycle, "more_body", False) and not 0 < self.body_bytes <= _LITTLE

    def may(self, name: str) -> bool:
        """Whether whoever sent it may do what needs this scope."""
        return self.scopes is None or name in self.scopes

    @property
    def is_from_a_stranger(self) -> bool:
        """Whether access is on, and nobody is known to have sent it."""
        return self.scopes is not None and self.key_id is None


def open_context(scope: Scope, receive: Receive) -> RequestContext:
    """Begin a request, which is received by uvicorn's own function."""
    context = RequestContext("", cycle=getattr(receive, "__self__", None))
    for name, value in scope["headers"]:
        if name in _READ:
            _read(context, name, value)
    if not context.request_id:
        context.request_id = request_id_of(())
    scope[_KEY] = context
    return context


def _read(context: RequestContext, name: bytes, value: bytes) -> None:
    if name == b"content-length":
        context.body_bytes = int(value)
    elif name == b"content-encoding":
        context.encoding = value
    elif name == b"x-request-deadline":
        context.deadline = value
    elif _SOUND.fullmatch(value):
        context.request_id = value.decode()


def context_of(scope: Scope) -> RequestContext:
    """The context of a request that has come through the entrance."""
    context: RequestContext = scope[_KEY]
    return context


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The id that a request brings, or else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _SOUND.fullmatch(value):
            return value.decode()
    return f"{_PROCESS}{next(_COUNT):016x}"
