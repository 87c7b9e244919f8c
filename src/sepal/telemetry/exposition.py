"""Metrics as Prometheus reads them: https://prometheus.io/docs/instrumenting/exposition_formats/."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from sepal.telemetry import metrics_port
from sepal.telemetry.metrics import Gauge, Histogram, Instrument, Metrics, Snapshot
from sepal.telemetry.metrics_port import MetricsServer
from sepal.telemetry.sharing import Shared, merged

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition(Collector):
    """What the processes of a tier, or the only one, have counted in all."""

    def __init__(self, metrics: Metrics, folder: Path | None = None) -> None:
        self._metrics = metrics
        self._shared = Shared(folder, metrics) if folder is not None else None
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def text(self) -> bytes:
        """All of it, of media type `MEDIA_TYPE`."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """The families of samples."""
        snapshots = [self._metrics.snapshot()] if self._shared is None else list(self._shared.snapshots())
        total = merged(snapshots)
        for name, instrument in self._metrics.instruments.items():
            if isinstance(instrument, Gauge) and instrument.total == "max":
                yield _family(instrument, _highest(name, snapshots))
            else:
                yield _family(instrument, total.get(name, []))

    def describe(self) -> Iterable[Metric]:
        """Nothing: so that registering reads no gauge."""
        return ()

    def close(self) -> None:
        """Leave what was counted to the other processes."""
        if self._shared is not None:
            self._shared.close()


def serve(exposition: Exposition, host: str, port: int, *, shared: bool) -> MetricsServer:
    """Serve the metrics at a port of their own; `shared` if other processes do so too.

    PortTakenError if it is in use.
    """
    return metrics_port.serve(make_wsgi_app(exposition.registry), host, port, shared=shared)


def _family(instrument: Instrument, series: Iterable[tuple[list[str], list[float]]]) -> Metric:
    given = instrument.name, instrument.meaning
    if isinstance(instrument, Histogram):
        histogram = HistogramMetricFamily(*given, labels=instrument.labels)
        for labels, (*counts, sum_value) in series:
            histogram.add_metric(labels, _buckets(instrument, counts), sum_value)
        return histogram
    make = GaugeMetricFamily if isinstance(instrument, Gauge) else CounterMetricFamily
    family = make(*given, labels=instrument.labels)
    for labels, (value,) in series:
        family.add_metric(labels, value)
    return family


def _buckets(histogram: Histogram, counts: Iterable[float]) -> list[tuple[str, float]]:
    """Each bound with how many values were no larger."""
    bounds = [*(f"{bound:g}" for bound in histogram.bounds), "+Inf"]
    buckets, below = [], 0.0
    for bound, count in zip(bounds, counts, strict=True):
        below += count
        buckets.append((bound, below))
    return buckets


def _highest(name: str, snapshots: Iterable[Snapshot]) -> list[tuple[list[str], list[float]]]:
    highest: dict[tuple[str, ...], float] = {}
    for snapshot in snapshots:
        for labels, (value,) in snapshot.get(name, []):
            highest[tuple(labels)] = max(value, highest.get(tuple(labels), value))
    return [(list(labels), [value]) for labels, value in highest.items()]
