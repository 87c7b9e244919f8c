"""What the model server counts. Every instrument is made here, and in docs/operations.md."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sepal.model_server.models import Models
from sepal.telemetry.metrics import ROWS, Labels, Metrics

if TYPE_CHECKING:
    from sepal.scoring.matrix import Matrix

Score = Callable[..., "Matrix"]
"""From a model's name and its rows, and maybe their keys, to their answers."""


class ModelServerMetrics:
    """The instruments of one worker."""

    def __init__(self, models: Models) -> None:
        self.all = Metrics()
        self._models = models
        self.counting = False
        """Rows that warm a worker up are not counted."""
        self.scored: dict[str, tuple[float, float]] = {}
        """When each model's last scoring began and ended, by `time.perf_counter`."""

        self.calls = self.all.counter(
            "sepal_calls_total", "Calls that the model server answered.", "endpoint", "status_code"
        )
        self.duration = self.all.histogram(
            "sepal_call_duration_seconds", "From a call's head to the end of its answer.", "endpoint"
        )
        self.stages = self.all.histogram(
            "sepal_stage_duration_seconds", "Stages of a request, or call.", "endpoint", "stage"
        )
        self.batch_rows = self.all.histogram(
            "sepal_batch_rows", "Rows that were scored in one go.", "model", bounds=ROWS
        )
        self.swaps = self.all.counter(
            "sepal_swaps_total", "Versions that took the place of another, in each worker.", "model"
        )
        self.swaps.read = lambda: {(model,): count for model, count in models.swaps.items()}
        self.dropped_lines = self.all.counter(
            "sepal_log_lines_dropped_total", "Lines of the log that were dropped, since nobody read them."
        )
        self.all.gauge(
            "sepal_model_version_info",
            "1 for the version that answers for each model.",
            *("model", "version"),
            read=self._versions,
            total="max",
        )
        self.all.gauge(
            "sepal_model_loaded",
            "Workers in which a version of the model answers.",
            "model",
            read=lambda: self._status_has("version"),
        )
        self.all.gauge(
            "sepal_model_refused",
            "Workers that could not load a version that should answer.",
            "model",
            read=lambda: self._status_has("refused", "error"),
        )
        self.all.gauge(
            "sepal_workers",
            "Processes of the tier that are alive.",
            "tier",
            read=lambda: {("model server",): 1},
        )

    def timed(self, score: Score) -> Score:
        """A function that scores, and is timed."""

        def timed_score(model: str, rows: "Matrix", *keys: "Matrix") -> "Matrix":
            begun = time.perf_counter()
            answers = score(model, rows, *keys)
            ended = time.perf_counter()
            if not self.counting:
                return answers
            self.scored[model] = begun, ended
            self.stages.of(f"/{model}/score", "scoring").observe(ended - begun)
            self.batch_rows.of(model).observe(len(rows))
            return answers

        return timed_score

    def _versions(self) -> Mapping[Labels, float]:
        status = self._models.status()
        return {(model, said["version"]): 1 for model, said in status.items() if "version" in said}

    def _status_has(self, *words: str) -> Mapping[Labels, float]:
        status = self._models.status()
        return {(model,): float(any(word in said for word in words)) for model, said in status.items()}
