"""The event loop of a gateway process: uvloop's, whose TLS handshakes are bounded in number and time."""

import asyncio
from collections.abc import Callable
from ssl import SSLContext
from typing import Any, Protocol

import uvloop
from uvloop.loop import SSLProtocol  # type: ignore[attr-defined]  # it is there, its types are not

from sepal.gateway.bounds import Bounds


class Bounded(Protocol):
    """What is asked of a connection's protocol here."""

    bounds: Bounds


class GatewayLoop(uvloop.Loop):
    """Counts handshakes as connections, and cuts off who does not end one in `SEPAL_CLIENT_TIMEOUT`.

    Until it has ended, the protocol of a connection hears nothing of it, so that `http_protocol.py`
    can't look after it; and uvicorn would wait for a minute.
    """

    async def create_server(  # type: ignore[override]  # with what uvicorn gives
        self,
        protocol_factory: Callable[[], Bounded],
        *given: Any,  # noqa: ANN401 (asyncio's)
        ssl: SSLContext | None = None,
        **more: Any,  # noqa: ANN401 (asyncio's)
    ) -> asyncio.AbstractServer:
        """Listen, as uvicorn says."""
        begin: Any = protocol_factory if ssl is None else lambda: self._begin(protocol_factory(), ssl)
        return await super().create_server(begin, *given, **more)

    def _begin(self, protocol: Bounded, context: SSLContext) -> asyncio.BaseProtocol:
        """The protocol that shakes hands for another, if there is room for one more."""
        bounds = protocol.bounds
        bounds.handshakes.add(protocol)
        if bounds.too_many_to_tell:
            bounds.refuse("connections")
            bounds.handshakes.discard(protocol)
            return _Refused()

        def end(ended: asyncio.Future[None]) -> None:
            ended.exception()  # told to nobody, as uvloop has it
            bounds.handshakes.discard(protocol)

        ended = self.create_future()
        ended.add_done_callback(end)
        timeout = bounds.client_timeout
        shaking: asyncio.BaseProtocol = SSLProtocol(
            self, protocol, context, ended, server_side=True, ssl_handshake_timeout=timeout
        )
        return shaking


class _Refused(asyncio.Protocol):
    """A connection that is closed at once: to say why, it would take a handshake."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it is one
        transport.abort()
