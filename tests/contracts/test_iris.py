"""The Iris contract: what it takes, and what it says of what it does not take."""

import math

import pytest
from pydantic import ValidationError

from sepal.contracts.iris import Iris, contract

GOOD = {"SepalLengthCm": 5, "SepalWidthCm": 2, "PetalLengthCm": 3, "PetalWidthCm": 4}


def test_whole_numbers_are_taken_as_lengths() -> None:
    assert Iris.model_validate(GOOD).SepalLengthCm == 5.0


def test_scikit_learns_names_are_taken_too() -> None:
    row = {
        "sepal length (cm)": 5.0,
        "sepal width (cm)": 2.0,
        "petal length (cm)": 3.0,
        "petal width (cm)": 4.0,
    }
    assert Iris.model_validate(row) == Iris.model_validate(GOOD)


def test_one_value_under_two_names_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Iris.model_validate({**GOOD, "sepal length (cm)": 5.0})


@pytest.mark.parametrize(
    "value", [True, "5", None, math.nan, math.inf, -math.inf, 0, -1, 30.1, 1e300, [5], {}]
)
@pytest.mark.parametrize("feature", GOOD)
def test_a_value_that_is_no_length_is_refused_by_its_name(feature: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Iris.model_validate({**GOOD, feature: value})
    assert [error["loc"] for error in caught.value.errors()] == [(feature,)]


@pytest.mark.parametrize("value", [30, 9.0, 1e-300])
def test_the_ends_of_the_range_are_taken(value: float) -> None:
    assert Iris.model_validate({**GOOD, "PetalWidthCm": value}).PetalWidthCm == value


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Iris.model_validate({**GOOD, "colour": "blue"})


def test_the_schema_shows_own_names_bounds_units_and_examples() -> None:
    schema = Iris.model_json_schema()
    assert list(schema["properties"]) == list(GOOD)
    length = schema["properties"]["SepalLengthCm"]
    assert (length["exclusiveMinimum"], length["maximum"], length["unit"]) == (0, 30, "cm")
    assert contract.example == GOOD
