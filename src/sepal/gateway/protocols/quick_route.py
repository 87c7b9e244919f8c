"""A way around the framework's machinery for requests that a plain function answers."""

import time
from collections.abc import Awaitable, Callable

from fastapi import HTTPException, Request, Response
from starlette.types import Receive, Scope, Send

from sepal.errors import SepalError
from sepal.gateway import problems
from sepal.gateway.request_context import context_of

Handle = Callable[[Request], Awaitable[Response]]


class QuickRoute:
    """ASGI application of one path: it answers as the declared route with the same function does."""

    def __init__(self, path: str, handle: Handle, retry_after: int) -> None:
        self._path = path
        self._handle = handle
        self._retry_after = retry_after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        context = context_of(scope)
        context.endpoint, context.validating = self._path, time.perf_counter()
        try:
            response = await self._handle(Request(scope, receive))
        except SepalError as error:
            response = problems.known(scope, error, self._retry_after)
        except HTTPException as error:
            response = problems.refused(scope, error)
        except Exception as error:  # noqa: BLE001 (as the declared route does it)
            response = problems.unexpected(scope, error)
        await response(scope, receive, send)
