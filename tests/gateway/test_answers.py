"""Answers in words: exactly what the declared answer models say, for every version."""

import json
from array import array

import pytest

from sepal.contracts import Contract, Features, Labels, feature
from sepal.contracts.iris import contract as iris
from sepal.contracts.ride_duration import contract as ride
from sepal.gateway.answers import Answers, formatter, joined


def test_each_row_names_the_version_that_answered_it() -> None:
    numbers = array("d", [1, 0, 1.0, 0.0, 0.0, 2, 2, 0.1, 0.2, 0.7])
    answers = Answers(numbers, {1.0: "log_reg_1", 2.0: "rand_forest_2"})
    documents = [json.loads(text) for text in formatter(iris, probabilities=True)(answers)]
    assert documents == [
        {
            "output": "Iris-setosa",
            "model_name": "log_reg_1",
            "probabilities": {"Iris-setosa": 1.0, "Iris-versicolor": 0.0, "Iris-virginica": 0.0},
        },
        {
            "output": "Iris-virginica",
            "model_name": "rand_forest_2",
            "probabilities": {"Iris-setosa": 0.1, "Iris-versicolor": 0.2, "Iris-virginica": 0.7},
        },
    ]
    for document in documents:
        iris.prediction_with_probabilities.model_validate(document)


def test_a_quantity_reads_back_to_the_same_double() -> None:
    values = [0.1 + 0.2, 1e-300, 1e300, -0.0, 5e-324]
    answers = Answers(array("d", [n for value in values for n in (3, value)]), {3.0: "linear_3"})
    assert [json.loads(text)["output"] for text in formatter(ride, probabilities=False)(answers)] == values


def test_names_may_hold_whatever_json_and_formatting_treat_as_special() -> None:
    class Thing(Features):
        size: float = feature(example=1.0, description="Size.")

    names = ('50 % "off"', "{braces}", "schön\\")
    odd = Contract(
        name="odd", features=Thing, target=Labels(names=names, column="kind", example="{braces}")
    )
    answers = Answers(array("d", [1, 2, 0.0, 0.0, 1.0]), {1.0: "größer_1"})
    [text] = formatter(odd, probabilities=True)(answers)
    assert json.loads(text) == {
        "output": "schön\\",
        "model_name": "größer_1",
        "probabilities": dict(zip(names, [0.0, 0.0, 1.0], strict=True)),
    }


@pytest.mark.parametrize("versions", [1, 2_500])
def test_any_number_of_versions_is_told_apart(versions: int) -> None:
    tell = formatter(iris, probabilities=False)
    for number in range(versions):
        answers = Answers(array("d", [number, 1, 0.0, 1.0, 0.0]), {float(number): f"log_reg_{number}"})
        assert json.loads(tell(answers)[0])["model_name"] == f"log_reg_{number}"


def test_parts_are_joined_in_order_with_all_their_versions() -> None:
    parts = [Answers(array("d", [1, 5.0]), {1.0: "a_1"}), Answers(array("d", [2, 6.0]), {2.0: "b_2"})]
    assert joined(parts) == Answers(array("d", [1, 5.0, 2, 6.0]), {1.0: "a_1", 2.0: "b_2"})
