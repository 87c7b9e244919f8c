"""The spans of a request, made when it has ended, from the moments in its context."""

from http import HTTPStatus
from typing import TYPE_CHECKING

from sepal.gateway.request_context import Likeness, RequestContext

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from sepal.telemetry.tracing import Tracing


def end_span(
    tracing: "Tracing", span: "Span", context: RequestContext, likeness: Likeness, ended: float
) -> None:
    """End the span of a request, with one inside it for each stage."""
    endpoint, method, status, error, model, version, key_id = likeness
    if span.is_recording():
        if context.validated:
            tracing.stage(span, "validation", context.validating or context.arrived, context.validated)
        if context.sent:
            tracing.stage(span, "wait", context.validated, context.sent)
            links = [context.call.get_span_context()] if context.call is not None else []
            tracing.stage(span, "upstream", context.sent, context.answered or ended, links=links)
    attributes: dict[str, str | int | float | None] = {
        "http.request.method": method,
        "http.route": endpoint,
        "http.response.status_code": status,
        "error.type": error,
        "sepal.request_id": context.request_id,
        "sepal.rows": context.rows,
        "sepal.model": model,
        "sepal.version": version,
        "sepal.key_id": key_id,
    }
    tracing.end(
        span,
        ended,
        name=f"{method} {endpoint}",
        failed=status >= HTTPStatus.INTERNAL_SERVER_ERROR,
        attributes={name: value for name, value in attributes.items() if value is not None},
    )
