"""Tells of each call that comes to the model server, and serves what is counted at `/metrics`."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sepal.contracts import Contract, wire
from sepal.model_server.metrics import ModelServerMetrics
from sepal.telemetry.correlation import CURRENT, REQUESTS_HEADER
from sepal.telemetry.exposition import MEDIA_TYPE
from sepal.telemetry.logs import Log

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from sepal.telemetry.tracing import Tracing

_REQUESTS = REQUESTS_HEADER.lower().encode()
_VERSIONS = wire.VERSIONS_HEADER.lower().encode()


class _Call:
    """One call, and the requests whose rows it carries."""

    __slots__ = ("_ids", "arrived", "n_bytes", "status", "versions")

    def __init__(self, ids: bytes) -> None:
        self._ids = ids
        self.arrived = time.perf_counter()
        self.status = 499  # until it is answered: who called has hung up
        self.versions = b"{}"
        self.n_bytes = 0

    @property
    def request_ids(self) -> list[str]:
        """Their ids, as the gateway says them."""
        return self._ids.decode("latin-1").split(",") if self._ids else []


class CallRecorder:
    """ASGI application around all others: one line of the log a call, metrics, and a span if asked for."""

    def __init__(
        self,
        app: ASGIApp,
        contracts: Mapping[str, Contract],
        metrics: ModelServerMetrics,
        log: Log | None = None,
        tracing: "Tracing | None" = None,
        text: Callable[[], bytes] | None = None,
    ) -> None:
        self._app = app
        self._by_path = {f"/{name}/score": contract for name, contract in contracts.items()}
        self._metrics = metrics
        self._log = log
        self._tracing = tracing
        self._text = text

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, or the application's life."""
        path = scope["path"] if scope["type"] == "http" else None
        contract = self._by_path.get(path) if path is not None else None
        if contract is not None:
            await self._score(contract, scope, receive, send)
        elif path == "/metrics":
            await self._tell(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _score(self, contract: Contract, scope: Scope, receive: Receive, send: Send) -> None:
        call = _Call(next((value for name, value in scope["headers"] if name == _REQUESTS), b""))
        CURRENT.set(call)
        span = None
        if self._tracing is not None:
            span = self._tracing.enter(f"POST {scope['path']}", scope["headers"], call.arrived)

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                for name, value in message["headers"]:
                    if name == _VERSIONS:
                        call.versions = value
            elif message["type"] == "http.response.body":
                call.n_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            self._end(contract, scope["path"], call, span)

    def _end(self, contract: Contract, path: str, call: _Call, span: "Span | None") -> None:
        ended = time.perf_counter()
        seconds = ended - call.arrived
        self._metrics.calls.of(path, str(call.status)).value += 1
        self._metrics.duration.of(path).observe(seconds)
        right = call.status == HTTPStatus.OK
        rows = call.n_bytes // (contract.answer_width * wire.ITEM_BYTES) if right else 0
        failed = call.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        if self._log is not None:
            self._log.event(
                "call_metrics",
                level="warning" if failed else "info",
                endpoint=path,
                status_code=call.status,
                latency_ms=round(seconds * 1000, 3),
                request_ids=call.request_ids,
                model=contract.name,
                version=",".join(json.loads(call.versions).values()) or None,
                rows=rows,
            )
        if self._tracing is not None and span is not None:
            begun, scored = self._metrics.scored.get(contract.name, (0.0, 0.0))
            if begun >= call.arrived and span.is_recording():
                self._tracing.stage(span, "scoring", begun, scored)
            attributes: dict[str, str | int | float] = {
                "sepal.model": contract.name,
                "sepal.rows": rows,
                "http.route": path,
            }
            self._tracing.end(span, ended, failed=failed, attributes=attributes)

    async def _tell(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._text is None:
            response = Response("The metrics have a port of their own.", 404)
        else:
            response = Response(await asyncio.to_thread(self._text), media_type=MEDIA_TYPE)
        await response(scope, receive, send)
