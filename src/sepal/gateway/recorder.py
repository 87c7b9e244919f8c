"""Tells of each request when it has ended: a line of the log, metrics, and spans if traces are on.

All of it is made from the request's context, so that nothing on a request's way knows of it.
"""

import json
import logging
import random
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.types import Scope

from sepal.errors import ClientGoneError
from sepal.gateway.metrics import GatewayMetrics
from sepal.gateway.payload import Payload
from sepal.gateway.request_context import Likeness, RequestContext
from sepal.gateway.spans import end_span
from sepal.telemetry.logs import Log

if TYPE_CHECKING:
    from sepal.telemetry.tracing import Tracing

_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
"""Those that metrics and logs name; a client can send any word."""

_ELSEWHERE = "(none)"
"""The endpoint of requests for which there is no route."""

_MOST_LIKES = 1000


class _Like:
    """What is counted, and said, of like requests."""

    __slots__ = ("duration", "head", "level", "rejections", "requests", "rows", "stages")

    def __init__(self, metrics: GatewayMetrics, likeness: Likeness) -> None:
        endpoint, method, status, error, model, version, key_id = likeness
        self.requests = metrics.requests.of(endpoint, method, str(status))
        self.rejections = metrics.rejections.of(endpoint, error) if error is not None else None
        self.rows = metrics.rows.of(model) if model is not None else None
        self.duration = metrics.duration.of(endpoint)
        stages = ("validation", "wait", "upstream") if model is not None else ()
        self.stages = [metrics.stages.of(endpoint, stage) for stage in stages]
        self.level = _level(status)
        fields = {
            "level": logging.getLevelName(self.level).lower(),
            "event": "request_metrics",
            "endpoint": endpoint,
            "method": method,
            "status_code": status,
            "error": error,
            "model": model,
            "version": version,
            "key_id": key_id,
        }
        self.head = json.dumps(fields, separators=(",", ":"))[1:-1]


class Recorder:
    """What of the requests is told, and how."""

    def __init__(self, metrics: GatewayMetrics, log: Log | None = None, payloads: float = 0.0) -> None:
        self.tracing: Tracing | None = None
        self._metrics = metrics
        self._log = log
        self._likes: dict[Likeness, _Like] = {}
        self.payloads = payloads if log is not None else 0.0
        """Share of the requests whose body and answer are logged."""
        self.paths: frozenset[str] = frozenset()
        """Paths that are endpoints, also of a request that is refused before it comes to a route."""

    def samples(self) -> bool:
        """Whether this request is one of them."""
        return random.random() < self.payloads  # noqa: S311 (no secret)

    def begin(self, context: RequestContext, scope: Scope) -> None:
        """A request has come, and gets its span, if there are traces."""
        if self.tracing is not None:
            context.span = self.tracing.enter(scope["method"], scope["headers"], context.arrived)

    def end(self, context: RequestContext, scope: Scope) -> None:
        """A request has been answered, or given up."""
        ended = time.perf_counter()
        likeness = (
            context.endpoint or self._endpoint(scope),
            scope["method"] if scope["method"] in _METHODS else "other",
            context.status or ClientGoneError.status,  # who gets no answer has gone
            *(context.error, context.model, context.version, context.key_id),
        )
        like = self._likes.get(likeness) or self._new_like(likeness)
        like.requests.value += 1
        if like.rejections is not None:
            like.rejections.value += 1
        duration = ended - context.arrived
        like.duration.observe(duration)
        if context.validated:
            validation, wait, upstream = like.stages
            validation.observe(context.validated - (context.validating or context.arrived))
            if context.sent:
                wait.observe(context.sent - context.validated)
                upstream.observe((context.answered or ended) - context.sent)
        if like.rows is not None:
            like.rows.value += context.rows
        if self._log is not None and like.level >= self._log.level:
            self._tell(self._log, like, context, duration)
        if self.tracing is not None and context.span is not None:
            end_span(self.tracing, context.span, context, likeness, ended)

    def _endpoint(self, scope: Scope) -> str:
        """The template of the route that took a request, so that there are only so many."""
        if scope["path"] in self.paths:
            return str(scope["path"])
        return str(getattr(scope.get("route"), "path", None) or _ELSEWHERE)

    def _new_like(self, likeness: Likeness) -> _Like:
        if len(self._likes) >= _MOST_LIKES:
            self._likes.clear()
        self._likes[likeness] = like = _Like(self._metrics, likeness)
        return like

    def _tell(self, log: Log, like: _Like, context: RequestContext, seconds: float) -> None:
        """Write the request's line, by hand: structlog would take several times as long."""
        if log.json:
            log.writer.write(
                f'{{"timestamp":"{log.stamp(time.time())}",{like.head},"request_id":"{context.request_id}",'
                f'"latency_ms":{seconds * 1000:.3f},"rows":{context.rows}}}\n'
            )
        else:
            said = json.loads(f"{{{like.head}}}")
            milliseconds = round(seconds * 1000, 3)
            log.event(**said, request_id=context.request_id, latency_ms=milliseconds, rows=context.rows)

    def tell_payload(self, context: RequestContext, payload: "Payload") -> None:
        """Write what a sampled request said and was told."""
        if self._log is not None:
            self._log.event("request_payload", request_id=context.request_id, **payload.told())


def _level(status: int) -> int:
    """A bug of ours is an error, what else goes wrong here a warning, and what others do is information."""
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return logging.ERROR
    return logging.WARNING if status > HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
