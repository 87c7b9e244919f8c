"""The way in and out of every request, whichever route takes it."""

from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sepal.gateway.payload import Payload
from sepal.gateway.recorder import Recorder
from sepal.gateway.request_context import RequestContext, open_context

_ERROR = 400


class Entrance:
    """ASGI application around all routes.

    A request gets its context here, and its answer the id; when it has ended, it is told of.
    `headers` are those of every answer, but for the paths in `headers_at`.
    """

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder
        self.headers: list[tuple[bytes, bytes]] = []
        self.headers_at: Mapping[str, list[tuple[bytes, bytes]]] = {}

    def surround(self, layer: Callable[[ASGIApp], ASGIApp]) -> None:
        """Put a layer around all that is inside already."""
        self._app = layer(self._app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        context = open_context(scope, receive)
        recorder = self._recorder
        if recorder.tracing is not None:
            recorder.begin(context, scope)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                message["headers"].append((b"x-request-id", context.request_id.encode()))
                if message["status"] >= _ERROR and context.unread():
                    message["headers"].append((b"connection", b"close"))  # rather than read all the rest
                message["headers"].extend(self.headers_at.get(scope["path"], self.headers))
            await send(message)

        try:
            if recorder.payloads and recorder.samples():
                await self._app_with_payload(context, scope, receive, send_with_id)
            else:
                await self._app(scope, receive, send_with_id)
        finally:
            recorder.end(context, scope)

    async def _app_with_payload(
        self, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        payload = Payload(receive)
        await self._app(scope, payload.receive, payload.keeping(send))
        self._recorder.tell_payload(context, payload)
