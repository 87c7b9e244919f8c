"""The main job through both tiers: the README's calls, and scikit-learn's own numbers."""

import itertools
import signal
import socket

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sepal.contracts import Labels
from sepal.contracts.catalogue import load_contracts
from sepal.registry import Registry
from tests.end_to_end.conftest import IRIS, RIDE, Place, Served, serving
from tests.strategies import documents_of

pytestmark = pytest.mark.end_to_end

CONTRACTS = load_contracts()
SLOW = hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def test_the_readmes_curl_gets_its_answer(served: Served) -> None:
    assert served.post("/iris/predict", IRIS) == {"output": "Iris-virginica", "model_name": "log_reg_1"}


def test_a_ride_gets_minutes(served: Served) -> None:
    answer = served.post("/ride_duration/predict", RIDE)
    assert answer["model_name"] == "linear_1"
    assert 1 < answer["output"] < 300


def test_the_documentations_examples_get_the_answers_that_it_shows(served: Served) -> None:
    iris = CONTRACTS["iris"]
    assert served.post("/iris/predict", iris.example)["output"] == iris.target.example


def test_every_model_is_ready_and_named_with_its_version(served: Served) -> None:
    status, body = served.call("/readyz")
    assert status == 200
    assert {name: said["version"] for name, said in body["models"].items()} == {
        "iris": "log_reg_1",
        "ride_duration": "linear_1",
    }


@pytest.mark.parametrize("model", sorted(CONTRACTS))
@given(data=st.data())
@SLOW
def test_any_row_gets_scikit_learns_own_answer(served: Served, model: str, data: st.DataObject) -> None:
    contract = CONTRACTS[model]
    rows = data.draw(st.lists(documents_of(contract), min_size=1, max_size=20))
    with Registry.open(served.place.settings) as registry:
        pipeline = registry.artefacts.load(registry.champion(model))
    encoded = contract.encode(contract.features.model_validate(row) for row in rows)
    expected = pipeline.predict(np.frombuffer(encoded).reshape(len(rows), -1))
    answers = served.post(f"/{model}/predict", rows)
    if isinstance(contract.target, Labels):
        assert [answer["output"] for answer in answers] == list(expected)
        proba = pipeline.predict_proba(np.frombuffer(encoded).reshape(len(rows), -1))
        for answer, one in zip(served.post(f"/{model}/predict-proba", rows), proba, strict=True):
            assert list(answer["probabilities"]) == list(contract.target.names)
            assert np.allclose(list(answer["probabilities"].values()), one, rtol=0, atol=1e-12)
    else:
        assert np.allclose([answer["output"] for answer in answers], expected, rtol=1e-12, atol=1e-12)


def test_ten_thousand_rows_are_answered_in_order(served: Served) -> None:
    rows = [{**RIDE, "trip_distance": miles / 100} for miles in range(10_000)]
    outputs = [answer["output"] for answer in served.post("/ride_duration/predict", rows)]
    assert outputs == sorted(outputs)
    assert len(set(outputs)) == 10_000


def test_neither_tier_names_its_server_in_any_answer(served: Served) -> None:
    tiers = {
        name: int(served.place.environment[f"SEPAL_{name}_PORT"]) for name in ("GATEWAY", "MODEL_SERVER")
    }
    lines = ["GET /livez HTTP/1.1", "GET /nowhere HTTP/1.1", "POST /iris/predict HTTP/1.1", "no HTTP"]
    for (name, port), line in itertools.product(tiers.items(), lines):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(f"{line}\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
            head, _, _ = b"".join(iter(lambda: connection.recv(65_536), b"")).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 "), (name, line)
        assert b"\nserver:" not in head.lower(), (name, line, head)


def test_sigterm_ends_both_tiers_and_frees_both_ports_as_ctrl_c_does(trained: Place) -> None:
    with serving(trained.beside(), "iris", stop=signal.SIGTERM) as served:
        assert served.post("/iris/predict", IRIS)["model_name"] == "log_reg_1"
