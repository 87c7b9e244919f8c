"""Traces over OTLP, if an endpoint is set. Without one nothing of OpenTelemetry is imported.

Spans are made when a request has ended, from the times that its metrics are made of: so
nothing on its way knows of them. The context travels as https://www.w3.org/TR/trace-context/ says.
"""

import os
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from sepal.extras import need
from sepal.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanContext

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

LAST_SPANS = 3.0
"""Seconds that the end of a process may wait for a collector that does not answer."""


class HasSpan(Protocol):
    """What belongs to a trace."""

    span: "Span | None"


def wall(moment: float) -> int:
    """A moment of `perf_counter`, in seconds, as nanoseconds since 1970."""
    return time.time_ns() - int((time.perf_counter() - moment) * 1e9)


def wanted(settings: Settings) -> bool:
    """Whether spans are wanted; ConfigurationError if they are and the extra `otel` is missing."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if not settings.traces_endpoint and not any(os.environ.get(name) for name in _ENDPOINTS):
        return False
    need("opentelemetry.exporter.otlp.proto.http.trace_exporter", "otel")
    return True


def make_tracing(settings: Settings, service: str) -> "Tracing | None":
    """What makes spans, or None if nobody wants them."""
    return Tracing(_provider(settings, service)) if wanted(settings) else None


def _provider(settings: Settings, service: str) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    resource = Resource.create()
    if not os.environ.get("OTEL_SERVICE_NAME"):
        resource = resource.merge(Resource({SERVICE_NAME: service}))
    told = os.environ.get("OTEL_TRACES_SAMPLER")  # then the SDK reads it
    sampler = None if told else ParentBasedTraceIdRatio(settings.traces_sample)
    provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
    endpoint = settings.traces_endpoint.rstrip("/")
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces" if endpoint else None)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


class Tracing:
    """Makes the spans of one tier."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.server, self.client = SpanKind.SERVER, SpanKind.CLIENT
        self._provider = provider
        self._tracer = provider.get_tracer("sepal")
        self._link = Link
        self._failed = Status(StatusCode.ERROR)
        self._inside = set_span_in_context
        self._propagator = TraceContextTextMapPropagator()

    def enter(self, name: str, headers: Iterable[tuple[bytes, bytes]], arrived: float) -> "Span":
        """Begin the span of a request, inside the trace that its headers name."""
        carrier = {
            key.decode("latin-1"): value.decode("latin-1")
            for key, value in headers
            if key in (b"traceparent", b"tracestate")
        }
        outer = self._propagator.extract(carrier) if carrier else None
        return self._tracer.start_span(name, outer, self.server, start_time=wall(arrived))

    def stage(
        self,
        outer: "Span",
        name: str,
        begun: float,
        ended: float,
        *,
        links: Iterable["SpanContext"] = (),
        attributes: Mapping[str, str | int | float] | None = None,
    ) -> None:
        """A whole span inside another one."""
        span = self._tracer.start_span(
            name,
            self._inside(outer),
            attributes=attributes,
            links=[self._link(context) for context in links],
            start_time=wall(begun),
        )
        span.end(wall(ended))

    def begin_call(self, name: str, requests: Iterable[HasSpan], begun: float) -> "Span | None":
        """Begin the span of an upstream call: inside the first sampled request of it, linked to all."""
        spans = [request.span for request in requests if request.span is not None]
        if not spans:
            return None
        first = next((span for span in spans if span.get_span_context().trace_flags.sampled), spans[0])
        return self._tracer.start_span(
            name,
            self._inside(first),
            self.client,
            links=[self._link(span.get_span_context()) for span in spans],
            start_time=wall(begun),
        )

    def end(
        self,
        span: "Span",
        ended: float,
        *,
        name: str | None = None,
        failed: bool = False,
        attributes: Mapping[str, str | int | float] | None = None,
    ) -> None:
        """End a span that was begun."""
        if name is not None:
            span.update_name(name)
        if attributes:
            span.set_attributes(attributes)
        if failed:
            span.set_status(self._failed)
        span.end(wall(ended))

    def headers(self, span: "Span") -> dict[str, str]:
        """What names a span to who is called from inside it."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._inside(span))
        return carrier

    def close(self, timeout: float = LAST_SPANS) -> None:
        """Send what is left, within so many seconds."""
        last = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        last.start()
        last.join(timeout)
