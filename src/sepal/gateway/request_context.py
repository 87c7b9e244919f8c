"""What the gateway knows of a request while it is under way, from its entrance to its end."""

import os
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

from starlette.types import Receive, Scope

from sepal.telemetry.correlation import CURRENT

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_SOUND = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_KEY = "sepal.context"
_READ = frozenset((b"x-request-id", b"x-request-deadline", b"content-length", b"content-encoding"))

Likeness: TypeAlias = tuple[str, str, int, str | None, str | None, str | None, str | None]
"""What like requests have in common: endpoint, method, status, error, model, version, key id."""
_LITTLE = 2**16
"""Bytes of a body that are read to its end even if nobody needs it any more."""

_PROCESS = os.urandom(8).hex()
_COUNT = count()
"""Together they are an id that no other request has, and cost less than a random number each."""


@dataclass(slots=True)
class RequestContext:
    """One request: its id, which is the client's `X-Request-ID` if that is sound, and when it came.

    The rest is found out on its way. Moments are of `time.perf_counter`, 0 if they did not come.
    `body_bytes` is how long its body is, as far as it says; `encoding` how that is compressed;
    `deadline` its `X-Request-Deadline`, as it was sent. `key_id` is the id of its key, or its
    token's subject; `scopes` what it may do: None if access is off, nothing if nobody sent it.
    """

    request_id: str
    arrived: float = field(default_factory=time.perf_counter)
    endpoint: str | None = None
    """The template of the route, if it is not the one in the scope."""
    key_id: str | None = None
    model: str | None = None
    version: str | None = None
    """Who answered; several by commas."""
    rows: int = 0
    status: int = 0
    error: str | None = None
    """Why it got a problem for an answer, in a word or two: one of a few dozen."""
    validating: float = 0.0
    validated: float = 0.0
    sent: float = 0.0
    answered: float = 0.0
    span: "Span | None" = None
    call: "Span | None" = None
    """Of the upstream call with the last of its rows."""
    body_bytes: int = 0
    encoding: bytes = b""
    deadline: bytes | None = None
    cycle: object = None
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

    @property
    def request_ids(self) -> tuple[str]:
        """The ids of those that the running code works for."""
        return (self.request_id,)


@dataclass(frozen=True, slots=True)
class CallContext:
    """An upstream call, and the requests whose rows it carries."""

    requests: Sequence[RequestContext]

    @property
    def request_ids(self) -> list[str]:
        """Their ids."""
        return [request.request_id for request in self.requests]


def open_context(scope: Scope, receive: Receive) -> RequestContext:
    """Begin a request, which is received by uvicorn's own function."""
    context = RequestContext("", cycle=getattr(receive, "__self__", None))
    for name, value in scope["headers"]:
        if name in _READ:
            _read(context, name, value)
    if not context.request_id:
        context.request_id = request_id_of(())
    scope[_KEY] = context
    CURRENT.set(context)
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


def current_request() -> RequestContext:
    """The request that the running code works for; a nameless one if there is none."""
    current = CURRENT.get()
    return current if isinstance(current, RequestContext) else RequestContext("")


def current_requests() -> Sequence[RequestContext]:
    """Those that the running code works for, be it one or a call's."""
    current = CURRENT.get()
    if isinstance(current, CallContext):
        return current.requests
    return [current] if isinstance(current, RequestContext) else []


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The id that a request brings, or else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _SOUND.fullmatch(value):
            return value.decode()
    return f"{_PROCESS}{next(_COUNT):016x}"
