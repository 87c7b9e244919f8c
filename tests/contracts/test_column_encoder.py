"""Columns against rows: the same numbers, and the same words for what is wrong."""

from datetime import datetime
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from sepal.contracts import Contract, Features, Integer, Labels, WallClock, feature, wire
from sepal.contracts.catalogue import load_contracts
from sepal.contracts.columns import ColumnEncoder
from sepal.errors import WrongValuesError
from tests.strategies import documents_of


class Everything(Features):
    """A feature of every kind, required and optional."""

    number: Annotated[float, Field(ge=0, lt=10)] = feature(example=1, description="A number.")
    count: Annotated[Integer, Field(ge=0, le=9)] = feature(example=1, description="A whole number.")
    flag: bool = feature(example=True, description="Yes or no.")
    colour: Literal["red", "blue"] = feature(example="red", description="One of two.")
    moment: Annotated[WallClock, Field(ge=datetime(2009, 1, 1), lt=datetime(2100, 1, 1))] | None = feature(
        example="2019-01-15T08:30:00", description="A time.", optional=True
    )


LABELS = Labels(names=("a", "b"), column="label", example="a")

EVERYTHING = Contract(name="everything", features=Everything, target=LABELS)
CONTRACTS = [*load_contracts().values(), EVERYTHING]

ODD: list[Any] = [
    *(0, 1, 9, 10, -1, 265, 266, 500, 1.5, 2.0, 1e300, 10**20, 10**400, -0.0, True, False, None),
    *("", "5", "red", "green", [], {}, float("nan"), float("inf"), b"red"),
    *("2019-01-15T08:30:00", "2019-01-15T08:30:00Z", "2019-01-15 08:30:00", "2008-01-01T00:00:00"),
]


def plain(contract: Contract, rows: list[dict[str, Any]]) -> bytes | list[tuple[Any, ...]]:
    """What the class of rows makes of them."""
    adapter: TypeAdapter[list[Features]] = TypeAdapter(list[contract.features])  # type: ignore[name-defined]
    try:
        return contract.encode(adapter.validate_python(rows))
    except ValidationError as error:
        return [(e["loc"], e["type"], e["msg"], repr(e["input"])) for e in error.errors()]


def by_columns(contract: Contract, columns: dict[str, list[Any]], n_rows: int) -> Any:  # noqa: ANN401
    try:
        return ColumnEncoder(contract).encode(columns, n_rows)
    except WrongValuesError as error:
        return [(e["loc"][2:], e["type"], e["msg"], repr(e["input"])) for e in error.errors]


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
@given(data=st.data())
def test_sound_columns_are_encoded_as_their_rows_are(contract: Contract, data: st.DataObject) -> None:
    rows = data.draw(st.lists(documents_of(contract), min_size=1, max_size=20))
    columns = {c.name: [row.get(c.name) for row in rows] for c in contract.columns}
    assert by_columns(contract, columns, len(rows)) == plain(contract, rows)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
@given(data=st.data())
def test_wrong_values_are_told_as_those_of_rows_are(contract: Contract, data: st.DataObject) -> None:
    good = {column.name: column.example for column in contract.columns}
    n_rows = data.draw(st.integers(1, 5))
    columns = {
        name: [data.draw(st.sampled_from([value, *ODD])) for _ in range(n_rows)]
        for name, value in good.items()
    }
    rows = [{name: values[at] for name, values in columns.items()} for at in range(n_rows)]
    assert by_columns(contract, columns, n_rows) == plain(contract, rows)


def test_an_optional_column_that_is_left_out_is_missing_in_every_row() -> None:
    ride = load_contracts()["ride_duration"]
    columns = {"PULocationID": [1, 2], "DOLocationID": [3, 4], "trip_distance": [5.0, 6.0]}
    rows = [{name: values[at] for name, values in columns.items()} for at in range(2)]
    assert by_columns(ride, columns, 2) == plain(ride, rows)


def test_a_contract_with_validators_of_its_own_has_them_asked() -> None:
    class Ordered(Features):
        """Two numbers in order."""

        low: float = feature(example=1, description="The lower.")
        high: float = feature(example=2, description="The higher.")

        @model_validator(mode="after")
        def in_order(self) -> "Ordered":
            if self.low > self.high:
                raise ValueError("low is over high")
            return self

    contract = Contract(name="ordered", features=Ordered, target=LABELS)
    encoder = ColumnEncoder(contract)
    assert encoder.encode({"low": [1, 2], "high": [3, 4]}, 2) == wire.pack([1, 3, 2, 4])
    with pytest.raises(WrongValuesError) as raised:
        encoder.encode({"low": [1, 5], "high": [3, 4]}, 2)
    assert [(e["loc"], e["msg"]) for e in raised.value.errors] == [
        (("body", "rows", 1), "Value error, low is over high")
    ]
