"""What the gateway counts. Every instrument is made here, and in docs/operations.md."""

from collections import Counter as CountOf
from collections.abc import Callable
from typing import TYPE_CHECKING

from sepal.contracts import Contract, Labels
from sepal.telemetry.metrics import ROWS, Cell, Metrics

if TYPE_CHECKING:
    from sepal.gateway.access import Access
    from sepal.gateway.answers import Answers
    from sepal.gateway.bounds import Bounds
    from sepal.gateway.limits import Limits
    from sepal.gateway.upstream import ModelServer

_MOST_CELLS = 1000


class GatewayMetrics:
    """The instruments of one gateway process, and what reads the gauges."""

    def __init__(self) -> None:
        self.all = Metrics()
        self.waiting: dict[str, Callable[[], int]] = {}
        """For each model how to read how many rows wait."""

        self.requests = self.all.counter(
            "sepal_requests_total", "Requests that were answered.", "endpoint", "method", "status_code"
        )
        self.rejections = self.all.counter(
            "sepal_rejections_total", "Requests that got no answer but a problem.", "endpoint", "reason"
        )
        self.rows = self.all.counter("sepal_rows_total", "Rows that were answered.", "model")
        self.predictions = self.all.counter(
            "sepal_predictions_total",
            "Answers, by the version that gave them and their label; a quantity has none.",
            *("model", "version", "label"),
        )
        self.upstream_errors = self.all.counter(
            "sepal_upstream_errors_total", "Calls to the model server that failed.", "kind"
        )
        self.duration = self.all.histogram(
            "sepal_request_duration_seconds", "From a request's head to the end of its answer.", "endpoint"
        )
        self.stages = self.all.histogram(
            "sepal_stage_duration_seconds", "Stages of a request, or call.", "endpoint", "stage"
        )
        self.call_rows = self.all.histogram(
            "sepal_call_rows", "Rows in one call to the model server.", "model", bounds=ROWS
        )
        self.call_requests = self.all.histogram(
            "sepal_call_requests", "Requests that share one call to the model server.", "model", bounds=ROWS
        )
        self.all.gauge(
            "sepal_waiting_rows",
            "Rows that wait for a call to the model server.",
            "model",
            read=lambda: {(model,): waiting() for model, waiting in self.waiting.items()},
        )
        self.dropped_lines = self.all.counter(
            "sepal_log_lines_dropped_total", "Lines of the log that were dropped, since nobody read them."
        )
        self._refusals = self.all.counter(
            "sepal_refusals_total", "What was refused before it became a request.", "reason"
        )
        self._unanswered = self.all.counter(
            "sepal_limits_unanswered_total", "Questions about a rate that Redis did not answer."
        )
        self._retries = self.all.counter(
            "sepal_upstream_retries_total", "Calls to the model server that were sent again."
        )
        self._openings = self.all.counter(
            "sepal_breaker_openings_total", "How often the model server was left alone until it answered."
        )
        self._connections: Callable[[], int] = lambda: 0
        self.all.gauge(
            "sepal_connections",
            "Open connections of clients, TLS handshakes included.",
            read=lambda: {(): self._connections()},
        )
        self._held_back: Callable[[], bool] = lambda: False
        self.all.gauge(
            "sepal_breaker_open",
            "Processes that send the model server no calls, or one at a time.",
            read=lambda: {(): self._held_back()},
        )
        self._stale: Callable[[], bool] = lambda: False
        self.all.gauge(
            "sepal_keys_stale",
            "Processes that can't read the file of the API keys, and go by what they read before.",
            read=lambda: {(): self._stale()},
        )
        self.all.gauge(
            "sepal_workers", "Processes of the tier that are alive.", "tier", read=lambda: {("gateway",): 1}
        )

    def watch(
        self, bounds: "Bounds", limits: "Limits", access: "Access", model_server: "ModelServer"
    ) -> None:
        """Read what these count themselves."""
        self._refusals.read = lambda: {(reason,): times for reason, times in bounds.refused.copy().items()}
        self._unanswered.read = lambda: {(): limits.failures}
        self._retries.read = lambda: {(): model_server.retried}
        self._openings.read = lambda: {(): model_server.breaker.opened}
        self._connections = lambda: bounds.open
        self._stale = lambda: access.keys_are_stale
        self._held_back = lambda: model_server.breaker.state != "closed"


class AnswerCounter:
    """Counts the answers of one model."""

    def __init__(self, metrics: GatewayMetrics, contract: Contract) -> None:
        self._predictions = metrics.predictions
        self._model = contract.name
        self._width = contract.answer_width
        self._names = contract.target.names if isinstance(contract.target, Labels) else None
        self._cells: dict[tuple[str, float], Cell] = {}

    def count(self, answers: "Answers") -> tuple[int, str]:
        """Count a request's answers; how many there are, and the version, or versions by commas."""
        numbers, versions, width = answers.numbers, answers.versions, self._width
        if len(numbers) == width:
            version = versions[numbers[0]]
            key = (version, numbers[1] if self._names else 0.0)
            (self._cells.get(key) or self._new_cell(key)).value += 1
            return 1, version
        codes = numbers[1::width] if self._names else (0.0,) * (len(numbers) // width)
        found = CountOf(zip(numbers[::width], codes, strict=True))
        for (number, code), count in found.items():
            self._new_cell((versions[number], code)).value += count
        return len(codes), ",".join(sorted({versions[number] for number, _ in found}))

    def _new_cell(self, key: tuple[str, float]) -> Cell:
        version, code = key
        if len(self._cells) >= _MOST_CELLS:
            self._cells.clear()
        self._cells[key] = cell = self._predictions.of(
            self._model, version, self._names[int(code)] if self._names else ""
        )
        return cell
