"""The event loop of a gateway process: uvloop's, in which nobody takes long over a TLS handshake."""

from asyncio import AbstractServer
from typing import Any

import uvloop

from sepal.settings import load_settings


class GatewayLoop(uvloop.Loop):
    """Cuts off who does not end a handshake in `SEPAL_CLIENT_TIMEOUT`; uvicorn would wait for a minute.

    Before it there is no connection yet that `bounds.py` could look after.
    """

    async def create_server(self, *given: Any, **more: Any) -> AbstractServer:  # type: ignore[override]  # noqa: ANN401
        """Listen, as uvicorn says."""
        if more.get("ssl") is not None:
            more["ssl_handshake_timeout"] = load_settings().client_timeout
        return await super().create_server(*given, **more)
