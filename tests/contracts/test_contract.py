"""Contracts in general: how rows become numbers and back, and which contracts can't be."""

import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, create_model

from sepal.contracts import Contract, Features, Labels, Quantity, WallClock, feature, wire
from sepal.contracts.catalogue import load_contracts
from sepal.errors import ConfigurationError, DataError
from tests.strategies import rows_of

TARGET = Quantity(column="price", unit="euros", example=1.0)


class EveryKind(Features):
    """One feature of each kind, plain and optional."""

    number: float = feature(example=1.5, description="Any number.")
    count: Annotated[int, Field(ge=1 - 2**53, le=2**53 - 1)] = feature(example=3, description="A count.")
    flag: bool = feature(example=True, description="A flag.")
    colour: Literal["red", "green", "blue"] = feature(example="red", description="A colour.")
    maybe_number: float | None = feature(example=1.5, description="A number.", optional=True)
    maybe_count: Annotated[int, Field(ge=0, lt=100)] | None = feature(
        example=3, description="A count.", optional=True
    )
    maybe_flag: bool | None = feature(example=True, description="A flag.", optional=True)
    maybe_colour: Literal["red", "green"] | None = feature(
        "color", example="red", description="A colour.", optional=True
    )


EVERY_KIND = Contract(name="every_kind", features=EveryKind, target=TARGET)


@pytest.mark.parametrize("contract", [EVERY_KIND, *load_contracts().values()], ids=lambda c: c.name)
@given(data=st.data())
def test_decoding_is_the_inverse_of_encoding(contract: Contract, data: st.DataObject) -> None:
    rows = data.draw(st.lists(rows_of(contract), max_size=5))
    encoded = contract.encode(rows)
    assert len(encoded) == len(rows) * len(contract.columns) * wire.ITEM_BYTES
    assert contract.decode(encoded) == rows


def test_a_row_is_its_values_in_contract_order_categories_as_codes_and_none_as_nan() -> None:
    row = EveryKind.model_validate(
        {"number": 2, "count": 7, "flag": False, "colour": "blue", "color": "green"}
    )
    numbers = wire.unpack(EVERY_KIND.encode([row])).tolist()
    assert numbers[:4] == [2.0, 7.0, 0.0, 2.0]
    assert all(number != number for number in numbers[4:7])
    assert numbers[7] == 1.0


def test_the_signature_changes_with_the_meaning_of_the_numbers_and_not_with_the_words() -> None:
    class Reworded(Features):
        number: float = feature(example=2.5, description="Other words.")

    class Same(Features):
        number: float = feature("alias", example=1.5, description="Any number.")

    class Renamed(Features):
        numbers: float = feature(example=1.5, description="Any number.")

    reworded, same, renamed = (
        Contract(name="x", features=features, target=TARGET).signature
        for features in (Reworded, Same, Renamed)
    )
    assert reworded == same != renamed


def made(annotation: Any, **more: Any) -> Contract:  # noqa: ANN401
    namespace = {
        "__annotations__": {"wrong": annotation},
        "__module__": __name__,
        "wrong": feature(example=None, description="", **more),
    }
    return Contract(name="broken", features=type("Broken", (Features,), namespace), target=TARGET)


@pytest.mark.parametrize(
    "annotation", [str, list[float], float | int, Literal[1, 2], dict, float | str | None]
)
def test_a_type_that_is_no_number_on_the_wire_is_refused_by_name(annotation: object) -> None:
    with pytest.raises(ConfigurationError, match="'wrong'"):
        made(annotation)


@pytest.mark.parametrize(
    "annotation", [int, Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0, le=2**53)], WallClock]
)
def test_integers_and_times_beyond_float64s_exactness_are_refused(annotation: object) -> None:
    with pytest.raises(ConfigurationError, match="bound"):
        made(annotation)


@pytest.mark.parametrize("name", ["", "Iris", "two words", "1iris", "ein-modell", "a" * 64])
def test_a_name_that_does_not_fit_in_a_path_and_a_tag_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="name a model"):
        Contract(name=name, features=EveryKind, target=TARGET)


def test_a_contract_without_features_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no features"):
        Contract(name="empty", features=Features, target=TARGET)


def test_a_wrong_header_is_told_by_the_columns_missing_and_found() -> None:
    with pytest.raises(
        DataError, match=r"Missing for every_kind: flag, colour\. Columns found: number, count"
    ):
        EVERY_KIND.match_columns(["number", "count"])


def test_two_columns_for_one_feature_are_refused() -> None:
    with pytest.raises(DataError, match="'maybe_colour' and 'color'"):
        EVERY_KIND.match_columns(["number", "count", "flag", "colour", "maybe_colour", "color"])


@pytest.mark.parametrize("names", [("one",), ("one", "one")])
def test_labels_must_be_two_or_more_and_differ(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="labels"):
        Labels(names=names, column="y", example="one")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("a", " a"), "can't have both 'a' and ' a'"),
        (("a", ""), "can't have '': in files a blank value is a missing one"),
        (("a", "  "), "can't have '  '"),
    ],
)
def test_names_that_files_could_not_tell_apart_are_refused(names: tuple[str, ...], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Labels(names, column="y", example="a")
    row = create_model(
        "Row", __base__=Features, colour=(Literal[names], feature(example="a", description=""))
    )
    with pytest.raises(ConfigurationError, match=f"Feature 'colour' {told}"):
        Contract("rows", row, Quantity("y", unit="m", example=1.0))


def test_blanks_around_a_name_are_a_part_of_it() -> None:
    assert Labels((" <=50K", " >50K"), column="y", example=" >50K").names == (" <=50K", " >50K")


def test_the_example_must_be_a_label() -> None:
    with pytest.raises(ConfigurationError, match="three"):
        Labels(names=("one", "two"), column="y", example="three")


def test_answers_are_taken_only_if_every_code_and_every_probability_can_be_one() -> None:
    labels = Labels(names=("no", "yes"), column="y", example="no")
    assert labels.width == 3
    assert labels.accepts([[1.0, 0.0], [0.25, 1.0], [0.75, 0.0]])
    for wrong in (2.0, 0.5, -1.0, float("nan")):
        assert not labels.accepts([[0.0, wrong], [0.5, 0.5], [0.5, 0.5]])
    for wrong in (1.5, -0.1, float("nan"), float("inf")):
        assert not labels.accepts([[0.0, 0.0], [0.5, wrong], [0.5, 0.5]])
        assert not labels.accepts([[0.0, 0.0], [wrong, 0.5], [0.5, 0.5]])


def test_a_quantity_must_be_finite() -> None:
    assert TARGET.accepts([[12.5, -3.0, 1e308, 1e308]])
    assert not TARGET.accepts([[1.0, float("nan")]])
    assert not TARGET.accepts([[float("inf")]])


def test_only_labels_have_probabilities() -> None:
    with pytest.raises(TypeError, match="no probabilities"):
        _ = EVERY_KIND.prediction_with_probabilities


@pytest.mark.parametrize("contract", load_contracts().values(), ids=lambda c: c.name)
def test_what_ships_describes_itself_with_valid_examples(contract: Contract) -> None:
    assert contract.description
    assert all(column.description for column in contract.columns)
    full = {column.name: column.example for column in contract.columns}
    assert contract.features.model_validate(full)
    assert contract.features.model_validate_json(json.dumps(contract.example))
    assert contract.source.name == f"{contract.name}.py"
    example = {"output": contract.target.example, "model_name": "x_1"}
    assert contract.prediction.model_validate(example).model_dump() == example


def test_a_feature_is_optional_by_its_type_and_its_description_or_by_neither() -> None:
    class ByTypeAlone(Features):
        weight: float | None = feature(example=1.0, description="Its type takes None.")

    class ByDescriptionAlone(Features):
        weight: float = feature(example=1.0, description="Its type takes no None.", optional=True)

    for features in (ByTypeAlone, ByDescriptionAlone):
        with pytest.raises(ConfigurationError, match=r"'weight' is optional by .* alone"):
            Contract(name="half", features=features, target=TARGET)


def test_two_features_under_one_alias_are_refused() -> None:
    class Twins(Features):
        left: float = feature("eye", example=1.0, description="One.")
        right: float = feature("eye", example=1.0, description="The other.")

    with pytest.raises(ConfigurationError, match="one name or alias: eye"):
        Contract(name="twins", features=Twins, target=TARGET)
