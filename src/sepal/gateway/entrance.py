"""The way in and out of every request, whichever route takes it."""

from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sepal.gateway.request_context import open_context

_ERROR = 400


class Entrance:
    """ASGI application around all routes: a request gets its context here, and its answer the id.

    `headers` are those of every answer, but for the paths in `headers_at`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.headers: list[tuple[bytes, bytes]] = []
        self.headers_at: Mapping[str, list[tuple[bytes, bytes]]] = {}

    def surround(self, layer: Callable[[ASGIApp], ASGIApp]) -> None:
        """Put a layer around all that is inside already."""
        self._app = layer(self._app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        context = open_context(scope, receive)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-id", context.request_id.encode()))
                if message["status"] >= _ERROR and context.unread():
                    message["headers"].append((b"connection", b"close"))  # rather than read all the rest
                message["headers"].extend(self.headers_at.get(scope["path"], self.headers))
            await send(message)

        await self._app(scope, receive, send_with_id)
