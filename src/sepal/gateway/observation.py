"""What the gateway tells of itself, put together: metrics, their exposition and port, traces, the log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastapi import APIRouter, HTTPException, Response

from sepal.gateway.calls import CallRecorder
from sepal.gateway.metrics import GatewayMetrics
from sepal.gateway.recorder import Recorder
from sepal.settings import Settings
from sepal.telemetry import exposition, tracing
from sepal.telemetry.exposition import Exposition
from sepal.telemetry.logs import Log
from sepal.telemetry.sharing import folder_of_this_start


class Observation:
    """Of one gateway process. Only `running` starts anything."""

    def __init__(self, settings: Settings, log: Log | None) -> None:
        tracing.wanted(settings)  # or it is told now
        self.metrics = GatewayMetrics()
        self.recorder = Recorder(self.metrics, log, payloads=settings.log_payloads)
        self._settings = settings
        self._log = log
        self._exposition: Exposition | None = None
        if log is not None:
            self.metrics.dropped_lines.read = lambda: {(): log.writer.dropped}

    @contextmanager
    def running(self) -> Iterator[CallRecorder]:
        """From the start of the process to its end; what tells of upstream calls."""
        settings = self._settings
        self._exposition = told = Exposition(self.metrics.all, folder_of_this_start())
        server = None
        if settings.metrics_port is not None:
            server = exposition.serve(
                told,
                settings.metrics_host or settings.gateway_host,
                settings.metrics_port,
                shared=settings.gateway_workers > 1,
            )
        self.recorder.tracing = traces = tracing.make_tracing(settings, "sepal-gateway")
        try:
            yield CallRecorder(self.metrics, traces)
        finally:
            if server is not None:
                server.shutdown()
                server.server_close()
            told.close()
            if self._log is not None:
                self._log.writer.flush()  # a signal may end the process without a further word
            if traces is not None:
                traces.close()  # last: whoever is to take them may not answer

    def text(self) -> bytes:
        """The metrics of all processes of the tier, as Prometheus reads them."""
        assert self._exposition is not None  # noqa: S101 (it runs)
        return self._exposition.text()


def metrics_routes(settings: Settings, text: Callable[[], bytes]) -> APIRouter:
    """`/metrics`, unless the metrics have a port of their own."""
    router = APIRouter()

    @router.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        if settings.metrics_port is not None:
            raise HTTPException(404, "Not Found")
        return Response(text(), media_type=exposition.MEDIA_TYPE)

    return router
