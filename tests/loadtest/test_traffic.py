"""The load test's rows and checks: every row is one that a contract takes, every fault is seen."""

from typing import Any

import pytest

from loadtest.traffic import HIGHEST, fault, row
from sepal.contracts.catalogue import load_contracts

CONTRACTS = load_contracts()
IRIS, RIDES = CONTRACTS["iris"], CONTRACTS["ride_duration"]
LABEL: dict[str, Any] = {"output": "Iris-setosa", "model_name": "log_reg_1"}
PROBABILITIES = {"Iris-setosa": 0.5, "Iris-versicolor": 0.25, "Iris-virginica": 0.25}


@pytest.mark.parametrize("model", sorted(CONTRACTS))
def test_every_row_that_is_drawn_is_one_that_the_contract_takes(model: str) -> None:
    for _ in range(500):
        CONTRACTS[model].features.model_validate(row(CONTRACTS[model]))


def test_no_iris_is_drawn_larger_than_nine_centimetres() -> None:
    assert max(max(row(IRIS).values()) for _ in range(500)) <= HIGHEST["iris"] == 9.0


def test_an_optional_feature_is_drawn_at_times_and_left_out_at_times() -> None:
    assert {"pickup_datetime" in row(RIDES) for _ in range(100)} == {True, False}


def test_good_answers_have_no_fault() -> None:
    assert fault(IRIS, LABEL) is None
    assert fault(IRIS, {**LABEL, "probabilities": PROBABILITIES}, probabilities=True) is None
    assert fault(RIDES, {"output": 12.5, "model_name": "linear_1"}) is None


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("Iris-setosa", "does not have the fields"),
        ({"output": "Iris-setosa"}, "does not have the fields"),
        ({**LABEL, "more": 1}, "does not have the fields"),
        ({**LABEL, "model_name": ""}, "model_name is ''"),
        ({**LABEL, "model_name": None}, "model_name is None"),
        ({**LABEL, "output": "Iris-rosa"}, "no label of iris"),
    ],
)
def test_a_wrong_label_answer_is_told(answer: object, told: str) -> None:
    assert told in (fault(IRIS, answer) or "")


@pytest.mark.parametrize("output", [float("nan"), float("inf"), None, "12", True])
def test_an_output_that_is_no_finite_number_is_told(output: object) -> None:
    assert "not a finite number" in (fault(RIDES, {"output": output, "model_name": "linear_1"}) or "")


@pytest.mark.parametrize(
    ("probabilities", "told"),
    [
        (None, "are not those of"),
        ({"Iris-setosa": 1.0}, "are not those of"),
        ({**PROBABILITIES, "Iris-setosa": float("nan")}, "are not all between 0 and 1"),
        ({**PROBABILITIES, "Iris-setosa": 1.5}, "are not all between 0 and 1"),
        ({**PROBABILITIES, "Iris-setosa": 0.4}, "do not add up to 1"),
    ],
)
def test_wrong_probabilities_are_told(probabilities: object, told: str) -> None:
    answer = {**LABEL, "probabilities": probabilities}
    assert told in (fault(IRIS, answer, probabilities=True) or "")
