"""Several workers of both tiers on one port each: the same answers, the same health, a clean end."""

from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.end_to_end.conftest import IRIS, Place, serving

pytestmark = pytest.mark.end_to_end


def test_two_workers_a_tier_answer_as_one(trained: Place) -> None:
    place = trained.beside()
    place.environment.update(SEPAL_GATEWAY_WORKERS="2", SEPAL_MODEL_SERVER_WORKERS="2")
    with serving(place, "iris") as served:
        running = [
            " ".join(p.cmdline()) for p in psutil.Process(served.process.pid).children(recursive=True)
        ]
        assert sum("_bentoml_impl.worker" in command for command in running) == 2
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: served.post("/iris/predict", IRIS), range(400)))
            ready = list(pool.map(lambda _: served.call("/readyz")[0], range(20)))
    assert answers == [{"output": "Iris-virginica", "model_name": "log_reg_1"}] * 400
    assert ready == [200] * 20
