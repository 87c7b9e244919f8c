"""What a worker of the model server tells of itself, put together: log, metrics, their port, traces."""

from collections.abc import Iterable

from starlette.types import ASGIApp

from sepal.contracts import Contract
from sepal.model_server.metrics import ModelServerMetrics
from sepal.model_server.models import Models
from sepal.model_server.recorder import CallRecorder
from sepal.settings import Settings
from sepal.telemetry import exposition, tracing
from sepal.telemetry.exposition import Exposition
from sepal.telemetry.logs import Log
from sepal.telemetry.metrics_port import MetricsServer
from sepal.telemetry.sharing import folder_of_this_start


class Observation:
    """Of one worker. Only `start` starts anything."""

    def __init__(self, settings: Settings, models: Models, log: Log | None) -> None:
        tracing.wanted(settings)  # or it is told now
        self.metrics = ModelServerMetrics(models)
        self._settings = settings
        self._log = log
        self._exposition: Exposition | None = None
        self._tracing: tracing.Tracing | None = None
        self._server: MetricsServer | None = None

    def start(self, app: ASGIApp, contracts: Iterable[Contract]) -> CallRecorder:
        """Begin to tell of what comes to an application: what to put around it."""
        settings = self._settings
        log = self._log
        if log is not None:
            self.metrics.dropped_lines.read = lambda: {(): log.writer.dropped}
        self._exposition = told = Exposition(self.metrics.all, folder_of_this_start())
        self.metrics.counting = True
        self._tracing = tracing.make_tracing(settings, "sepal-model-server")
        port = settings.model_server_metrics_port
        if port is not None:
            host = settings.metrics_host or settings.model_server_host
            self._server = exposition.serve(told, host, port, shared=settings.model_server_workers > 1)
        text = told.text if port is None else None
        named = {contract.name: contract for contract in contracts}
        return CallRecorder(app, named, self.metrics, log, self._tracing, text)

    def stop(self) -> None:
        """Leave what was counted to the other workers, send the last spans, write the last lines."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        if self._exposition is not None:
            self._exposition.close()
        if self._log is not None:
            self._log.writer.flush()  # a signal may end the process without a further word
        if self._tracing is not None:
            self._tracing.close()  # last: whoever is to take them may not answer
