"""What both tiers tell of themselves, with two workers each: logs, metrics, traces."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import IRIS, Place
from tests.samples import samples_in
from tests.telemetry.collector import Collector, collecting
from tests.tiers import kill
from tests.waiting import LONG, comes

pytestmark = pytest.mark.end_to_end


@dataclass
class Told:
    """Both tiers running, and where they tell of themselves."""

    gateway: str
    model_server: str
    log: Path
    collector: Collector
    asked: list[str] = field(default_factory=list)

    def predict(self, **headers: str) -> str:
        """Ask for a prediction; the request id of its answer."""
        request = urllib.request.Request(  # noqa: S310
            f"{self.gateway}/iris/predict",
            json.dumps(IRIS).encode(),
            {
                "Content-Type": "application/json",
                **{name.replace("_", "-"): v for name, v in headers.items()},
            },
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            assert json.load(response)["output"] == "Iris-virginica"
            request_id = str(response.headers["X-Request-ID"])
        self.asked.append(request_id)
        return request_id

    def lines(self) -> list[dict[str, Any]]:
        """Those that are whole: the log goes on while it is read."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]


def samples(url: str) -> dict[str, float]:
    """What is counted at a URL."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as response:  # noqa: S310
        return samples_in(response.read().decode())


@pytest.fixture(scope="module")
def told(trained: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    log = tmp_path_factory.mktemp("told") / "log"
    place = trained.beside()
    gateway = f"http://127.0.0.1:{place.environment['SEPAL_GATEWAY_PORT']}"
    model_server = f"http://127.0.0.1:{place.environment['SEPAL_MODEL_SERVER_PORT']}"
    with collecting() as collector, log.open("wb") as output:
        settings = {
            "SEPAL_GATEWAY_WORKERS": "2",
            "SEPAL_MODEL_SERVER_WORKERS": "2",
            "SEPAL_TRACES_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        }
        command = [str(Path(sys.executable).parent / "sepal"), "serve", "iris"]
        environment = {**place.environment, **settings}
        with subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stderr is not None
                if not any("Ctrl-C stops both tiers" in line for line in process.stderr):
                    pytest.fail(f"sepal serve ended: {log.read_text()}")
                yield Told(gateway, model_server, log, collector)
                process.terminate()
                _, said = process.communicate(timeout=LONG)
                assert process.returncode == 0
                assert "Stopped." in said
            finally:
                kill(process)


def test_every_line_of_both_tiers_is_a_json_object_and_a_requests_id_is_in_both(told: Told) -> None:
    assert told.predict(X_Request_ID="from-the-client") == "from-the-client"
    own = told.predict()

    def named(request_id: str) -> dict[str, Any]:
        return {
            line["event"]: line
            for line in told.lines()
            if line.get("request_id") == request_id or request_id in line.get("request_ids", ())
        }

    for request_id in ("from-the-client", own):
        assert comes(lambda request_id=request_id: len(named(request_id)) == 2)  # type: ignore[misc]
        lines = named(request_id)
        assert lines["request_metrics"]["version"] == lines["call_metrics"]["version"] == "log_reg_1"
        assert lines["request_metrics"]["latency_ms"] > lines["call_metrics"]["latency_ms"] > 0
    assert all({"timestamp", "level", "event"} <= line.keys() for line in told.lines())


def test_metrics_are_right_in_total_whichever_worker_tells_them_and_never_go_back(told: Told) -> None:
    rows = "sepal_rows_total iris"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: told.predict(), range(200)))
    assert comes(lambda: samples(told.gateway)[rows] == len(told.asked))
    after = samples(told.gateway)
    for counted in (
        "sepal_predictions_total Iris-virginica iris log_reg_1",
        "sepal_requests_total /iris/predict POST 200",
    ):
        assert after[counted] == len(told.asked)
    assert after["sepal_workers gateway"] == 2
    seen = [samples(told.gateway)[rows] for _ in range(20)]
    assert seen == sorted(seen)
    assert comes(
        lambda: (
            samples(told.model_server)["sepal_batch_rows_sum iris"]
            == samples(told.gateway)["sepal_call_rows_sum iris"]
        )
    )
    there = samples(told.model_server)
    assert there["sepal_workers model server"] == 2
    assert there["sepal_model_loaded iris"] == 2
    assert there["sepal_model_version_info iris log_reg_1"] == 1


def test_a_trace_goes_from_the_client_through_both_tiers(told: Told) -> None:
    trace_id, outer = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    told.predict(traceparent=f"00-{trace_id}-{outer}-01")
    gateway, server = "sepal-gateway: ", "sepal-model-server: "
    names = [
        *(gateway + name for name in ("POST /iris/predict", "validation", "wait", "upstream")),
        *(gateway + "POST /iris/score", server + "POST /iris/score", server + "scoring"),
    ]
    assert comes(lambda: told.collector.of_trace(trace_id).keys() >= set(names))
    spans = told.collector.of_trace(trace_id)
    request, call = spans[names[0]], spans[names[4]]
    assert request.parent_span_id.hex() == outer
    for name in names[1:5]:
        assert spans[name].parent_span_id == request.span_id
    assert [link.span_id for link in spans[names[3]].links] == [call.span_id]
    assert spans[names[5]].parent_span_id == call.span_id
    assert spans[names[6]].parent_span_id == spans[names[5]].span_id
    for span in spans.values():
        assert span.start_time_unix_nano <= span.end_time_unix_nano


def test_a_call_that_several_requests_share_links_to_each_of_them(told: Told) -> None:
    def shared() -> list[set[bytes]]:
        return [
            {link.trace_id for link in span.links}
            for service, span in list(told.collector.spans)
            if (service, span.name) == ("sepal-gateway", "POST /iris/score") and len(span.links) > 1
        ]

    with ThreadPoolExecutor(32) as pool:
        assert comes(lambda: bool((list(pool.map(lambda _: told.predict(), range(64))), shared())[1]))
    assert all(len(traces) > 1 for traces in shared())
