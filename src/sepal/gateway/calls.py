"""Tells of each call to the model server: its size, what went wrong with it, and its span."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp

from sepal.errors import ModelServerTimeoutError, UpstreamError
from sepal.gateway.metrics import GatewayMetrics
from sepal.gateway.request_context import current_requests
from sepal.telemetry.correlation import REQUESTS_HEADER, join_ids

if TYPE_CHECKING:
    from sepal.telemetry.tracing import Tracing


class CallRecorder:
    """What of the calls is told, and how."""

    def __init__(self, metrics: GatewayMetrics, tracing: "Tracing | None" = None) -> None:
        self._metrics = metrics
        self._tracing = tracing

    @contextmanager
    def call(self, model: str, path: str, n_rows: int) -> Iterator[dict[str, str]]:
        """A call from its beginning to its end; the headers that name it to the model server."""
        requests = current_requests()
        self._metrics.call_rows.of(model).observe(n_rows)
        self._metrics.call_requests.of(model).observe(len(requests))
        headers = {REQUESTS_HEADER: join_ids([request.request_id for request in requests])}
        span = None
        if self._tracing is not None:
            span = self._tracing.begin_call(f"POST {path}", requests, time.perf_counter())
        if self._tracing is not None and span is not None:
            headers |= self._tracing.headers(span)
            for request in requests:
                request.call = span
        failed = True
        try:
            yield headers
            failed = False
        except UpstreamError as error:
            self._metrics.upstream_errors.add(_kind(error))
            raise
        finally:
            if self._tracing is not None and span is not None:
                self._tracing.end(
                    span,
                    time.perf_counter(),
                    failed=failed,
                    attributes={
                        "sepal.model": model,
                        "sepal.rows": n_rows,
                        "sepal.requests": len(requests),
                    },
                )


def _kind(error: UpstreamError) -> str:
    if isinstance(error, ModelServerTimeoutError):
        return "timeout"
    return (
        "unreachable"
        if isinstance(error.__cause__, aiohttp.ClientError | OSError | EOFError)
        else "bad_answer"
    )
