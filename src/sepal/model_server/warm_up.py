"""Warms a worker up before it takes connections.

BentoML's dispatcher fits its waiting times to the first eleven requests of each API,
and holds some of them back for long. So each worker answers a few of its own first.
"""

from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sepal.contracts import Contract, wire

REQUESTS = 16


class WarmUp:
    """ASGI middleware that holds back the end of start-up until the ready models have answered.

    Then `finish` is called with the application, of which this is a part.
    """

    def __init__(
        self,
        app: ASGIApp,
        ready: Callable[[], Iterable[Contract]],
        finish: Callable[[Starlette], None] = lambda _app: None,
    ) -> None:
        self._app = app
        self._ready = ready
        self._finish = finish

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, or the application's life."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_once_warm(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                for contract in self._ready():
                    await warm_up(self._app, contract)
                self._finish(scope["app"])
            await send(message)

        await self._app(scope, receive, send_once_warm)


async def warm_up(app: ASGIApp, contract: Contract) -> None:
    """Have one model's API answer its example a few times."""
    for _ in range(REQUESTS):
        await _answer_example(app, contract)


async def _answer_example(app: ASGIApp, contract: Contract) -> None:
    body = contract.encode([contract.features.model_validate(contract.example)])
    path = f"/{contract.name}/score"
    headers = {
        "content-type": wire.MEDIA_TYPE,
        "content-length": str(len(body)),
        wire.CONTRACT_HEADER.lower(): contract.signature,
    }
    scope: MutableMapping[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        pass

    await app(scope, receive, send)
