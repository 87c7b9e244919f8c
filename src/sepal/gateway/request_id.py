"""Gives every request an id: the client's `X-Request-ID` if it is sound, else a new one."""

import os
import re
from itertools import count

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-ID"

_SOUND = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_KEY = "sepal.request_id"

_PROCESS = os.urandom(8).hex()
_COUNT = count()
"""Together they are an id that no other request has, and cost less than a random number each."""


class RequestId:
    """ASGI middleware that sets the id on the way in and sends it back on the way out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = identify(scope)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = identity
            await send(message)

        await self._app(scope, receive, send_with_id)


def identify(scope: Scope) -> str:
    """Settle a request's id."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SOUND.fullmatch(value):
            scope[_KEY] = identity = value.decode()
            return str(identity)
    scope[_KEY] = identity = f"{_PROCESS}{next(_COUNT):016x}"
    return str(identity)


def request_id(scope: Scope) -> str:
    """The id that was settled."""
    return str(scope[_KEY])
