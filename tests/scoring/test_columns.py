"""Columns: encoded as the contract encodes their rows, and taken exactly where the contract takes them.

Differences that are meant, since files are not JSON: text has numbers, truth values and
categories in it; blanks around text do not count, and blank text is missing. Of times,
text has those of ISO 8601 with a blank or a T; a file's one-digit months are taken too.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from sepal.contracts import Contract, Features, Integer, Quantity, WallClock, feature
from sepal.contracts.iris import contract as iris
from sepal.contracts.ride_duration import contract as ride
from sepal.scoring.columns import Encoded, encode
from tests.strategies import rows_of


class Everything(Features):
    """One feature of each kind, required and optional."""

    number: Annotated[float, Field(gt=-1e9, lt=1e9)] = feature(example=1.0, description="")
    whole: Annotated[Integer, Field(ge=-(2**40), le=2**40)] = feature(example=1, description="")
    flag: bool = feature(example=True, description="")
    colour: Literal["red", "None", "NA", "1"] = feature(example="red", description="")
    when: Annotated[WallClock, Field(ge=datetime(1950, 1, 1), lt=datetime(2100, 1, 1))] = feature(
        example="2019-01-15T08:30:00", description=""
    )
    maybe: Annotated[float, Field(ge=0, le=5)] | None = feature(example=1.0, description="", optional=True)
    perhaps: Literal["a", "b"] | None = feature(example="a", description="", optional=True)


EVERYTHING = Contract("everything", Everything, Quantity("answer", unit="m", example=1.0))
GOOD: dict[str, Any] = {
    "number": 1.5,
    "whole": 2,
    "flag": True,
    "colour": "red",
    "when": datetime(2019, 1, 15, 8, 30),
    "maybe": 1.0,
    "perhaps": "b",
}
every_contract = pytest.mark.parametrize("contract", [EVERYTHING, iris, ride], ids=lambda c: c.name)


def encoded(contract: Contract, rows: list[dict[str, Any]], types: dict[str, Any] | None = None) -> Encoded:
    """Rows as columns, of the types that polars gives them."""
    names = {name for row in rows for name in row}
    columns = {
        name: pl.Series(name, [row.get(name) for row in rows], dtype=(types or {}).get(name))
        for name in names
    }
    return encode(contract, columns, len(rows))


def reasons(result: Encoded) -> list[str]:
    """Of one row; the first is the one that is told."""
    return [f"{fault.feature.name} {fault.reason}" for fault in result.faults]


def one(**changes: object) -> Encoded:
    """One row of everything, as columns of its values' own types."""
    return encoded(EVERYTHING, [{**GOOD, **changes}])


@every_contract
@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_every_row_that_a_contract_takes_is_encoded_as_the_contract_encodes_it(
    contract: Contract, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(rows_of(contract), min_size=1, max_size=4))
    result = encoded(contract, [row.model_dump() for row in rows])
    assert result.faults == ()
    assert np.ascontiguousarray(result.rows).tobytes() == contract.encode(rows)


@every_contract
@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_the_same_rows_as_text_are_encoded_the_same(contract: Contract, data: st.DataObject) -> None:
    rows = data.draw(st.lists(rows_of(contract), min_size=1, max_size=4))
    texts = [
        {name: None if value is None else f" {value} " for name, value in row.model_dump().items()}
        for row in rows
    ]
    result = encoded(contract, texts, {column.name: pl.String for column in contract.columns})
    assert result.faults == ()
    assert np.ascontiguousarray(result.rows).tobytes() == contract.encode(rows)


NUMBERS = st.one_of(st.floats(), st.integers(-(2**62), 2**62), st.booleans(), st.none())
ANYTHING: dict[str, st.SearchStrategy[Any]] = {
    "number": st.floats(width=64) | st.none(),
    "whole": st.one_of(
        st.integers(-(2**62), 2**62), st.floats(), st.floats(-100, 100).map(round).map(float), st.booleans()
    ),
    "flag": st.one_of(st.booleans(), st.none(), st.integers(0, 1)),
    "colour": st.one_of(st.none(), st.sampled_from(["red", "Red", "NA", "1", "mauve"]), st.integers(0, 2)),
    "when": st.one_of(
        st.none(), st.datetimes(datetime(1949, 6, 1), datetime(2101, 1, 1)), st.integers(0, 2**31)
    ),
    "maybe": NUMBERS,
    "perhaps": st.one_of(st.none(), st.sampled_from(["a", "b", "c"])),
}


@settings(deadline=None, max_examples=400)
@given(st.fixed_dictionaries({name: st.just(GOOD[name]) | values for name, values in ANYTHING.items()}))
def test_a_row_of_values_of_any_type_is_taken_exactly_if_the_contract_takes_it(row: dict[str, Any]) -> None:
    try:
        # In a column, NaN is how a missing number is written.
        given = {name: None if value != value else value for name, value in row.items()}
        Everything.model_validate(given)
        taken = True
    except ValidationError:
        taken = False
    assert (one(**row).faults == ()) is taken


TIMES = st.one_of(
    st.datetimes(datetime(1940, 1, 1), datetime(2110, 1, 1)).map(datetime.isoformat),
    st.datetimes(datetime(1940, 1, 1), datetime(2110, 1, 1)).map(str),
    st.datetimes(datetime(1940, 1, 1), datetime(2110, 1, 1), timezones=st.just(UTC)).map(str),
    st.dates(date(1940, 1, 1), date(2110, 1, 1)).map(str),
    st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?", fullmatch=True),
    st.from_regex(r"\d{1,12}", fullmatch=True),
)


@settings(deadline=None, max_examples=300)
@given(TIMES)
def test_a_time_as_text_is_taken_exactly_if_the_contract_takes_it_and_means_the_same(text: str) -> None:
    result = encoded(EVERYTHING, [{**GOOD, "when": text}])
    try:
        row = Everything.model_validate({**GOOD, "when": text})
    except ValidationError:
        assert len(result.faults) == 1
        return
    assert result.faults == ()
    assert np.ascontiguousarray(result.rows).tobytes() == EVERYTHING.encode([row])


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("number", "much", "not a number"),
        ("number", "", "missing"),
        ("number", " \t ", "missing"),
        ("number", None, "missing"),
        ("number", float("nan"), "missing"),
        ("number", "nan", "not a number"),
        ("number", "inf", "not a number"),
        ("number", float("inf"), "not a number"),
        ("number", "1e400", "not a number"),
        ("number", "1_000", "not a number"),
        ("number", "0x10", "not a number"),
        ("number", "1,5", "not a number"),
        ("number", True, "not a number"),
        ("number", datetime(2019, 1, 1), "not a number"),
        ("number", timedelta(1), "not a number"),
        ("number", b"1.5", "not a number"),
        ("number", [1.5], "not a number"),
        ("number", {"a": 1.5}, "not a number"),
        ("number", 1e9, "not under 1e+09"),
        ("number", "-1e9", "not over -1e+09"),
        ("whole", 2.5, "not a whole number"),
        ("whole", "2.5", "not a whole number"),
        ("whole", -9e15, "under -1.09951e+12"),
        ("whole", 2**60, "over 1.09951e+12"),
        ("flag", "yes", "not true or false"),
        ("flag", 1, "not true or false"),
        ("colour", "mauve", "an unknown category"),
        ("colour", "RED", "an unknown category"),
        ("colour", 1, "an unknown category"),
        ("when", "soon", "not a wall-clock time"),
        ("when", "2019-02-30", "not a wall-clock time"),
        ("when", "2019-01-15T08:30:00+01:00", "not a wall-clock time"),
        ("when", "2019-01-15T08:30:00Z", "not a wall-clock time"),
        ("when", datetime(2019, 1, 15, tzinfo=UTC), "not a wall-clock time"),
        ("when", 1547541000, "not a wall-clock time"),
        ("when", "1547541000", "not a wall-clock time"),
        ("when", "1949-12-31T00:00:00", "under 1950-01-01T00:00:00"),
        ("when", date(2100, 1, 1), "not under 2100-01-01T00:00:00"),
        ("maybe", "5.5", "over 5"),
        ("maybe", "abc", "not a number"),
        ("maybe", "nan", "not a number"),
        ("perhaps", "c", "an unknown category"),
    ],
)
def test_a_value_that_the_contract_does_not_take_is_told_by_its_reason(
    column: str, value: object, reason: str
) -> None:
    assert reasons(one(**{column: value}))[0] == f"{column} {reason}"


@pytest.mark.parametrize(
    ("column", "value", "number"),
    [
        ("number", " 1.5 ", 1.5),
        ("number", "+1e3", 1000.0),
        ("number", 7, 7.0),
        ("number", Decimal("2.25"), 2.25),
        ("number", "0.1", 0.1),
        ("whole", "82.0", 82.0),
        ("whole", 82.0, 82.0),
        ("flag", "TRUE", 1.0),
        ("flag", " false", 0.0),
        ("flag", False, 0.0),
        ("colour", "red ", 0.0),
        ("colour", "None", 1.0),
        ("colour", "NA", 2.0),
        ("when", "1970-01-01", 0.0),
        ("when", date(1970, 1, 2), 86400.0),
        ("when", "1970-01-01 00:01", 60.0),
        ("when", "1970-01-01T00:00:01.5", 1.5),
        ("when", "1970-1-1 0:01:00", 60.0),
        ("maybe", " ", np.nan),
        ("maybe", None, np.nan),
        ("maybe", float("nan"), np.nan),
        ("perhaps", "", np.nan),
    ],
)
def test_a_value_is_read_whatever_its_columns_type(column: str, value: object, number: float) -> None:
    result = one(**{column: value})
    assert result.faults == ()
    at = [feature.name for feature in EVERYTHING.columns].index(column)
    assert np.array_equal(result.rows[0, at], number, equal_nan=True)


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["red", "mauve"])], ids=str)
def test_categories_may_be_coded_in_the_file_in_any_order(kind: Any) -> None:  # noqa: ANN401
    rows = [GOOD, {**GOOD, "colour": "mauve"}, {**GOOD, "colour": None}]
    result = encoded(EVERYTHING, rows, {"colour": kind})
    assert [(f.reason, f.where.tolist()) for f in result.faults] == [
        ("missing", [False, False, True]),
        ("an unknown category", [False, True, False]),
    ]


@pytest.mark.parametrize(
    "kind", [pl.Int8, pl.UInt16, pl.Int64, pl.Float32, pl.Decimal(10, 2), pl.String], ids=str
)
def test_a_number_is_the_same_in_a_column_of_any_type(kind: Any) -> None:  # noqa: ANN401
    columns = {name: pl.Series(name, [value] * 3) for name, value in GOOD.items()}
    columns["number"] = pl.Series("number", [1, 2, 3]).cast(kind)
    result = encode(EVERYTHING, columns, 3)
    assert result.rows[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert result.faults == ()


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_time_is_the_same_in_any_unit(unit: Any) -> None:  # noqa: ANN401
    result = encoded(EVERYTHING, [GOOD], {"when": pl.Datetime(unit)})
    assert result.rows[0, 4] == datetime(2019, 1, 15, 8, 30, tzinfo=UTC).timestamp()


def test_a_feature_without_a_column_is_missing_in_every_row() -> None:
    result = encode(EVERYTHING, {name: pl.Series([GOOD[name]] * 2) for name in ("number", "whole")}, 2)
    assert reasons(result) == ["flag missing", "colour missing", "when missing"]
    assert np.isnan(result.rows[:, 5]).all()


def test_no_rows_have_no_faults() -> None:
    result = encode(EVERYTHING, {}, 0)
    assert result.rows.shape == (0, 7)
    assert result.faults == ()
    assert result.faulty.shape == (0,)


def test_faults_stand_in_contract_order_and_say_which_rows_have_them() -> None:
    rows = [{**GOOD, "whole": "x", "number": ""}, GOOD, {**GOOD, "number": "y"}]
    result = encoded(EVERYTHING, [{n: str(v) for n, v in row.items()} for row in rows])
    assert [(f.feature.name, f.reason, f.where.tolist()) for f in result.faults] == [
        ("number", "missing", [True, False, False]),
        ("number", "not a number", [False, False, True]),
        ("whole", "not a number", [True, False, False]),
    ]
    assert result.faulty.tolist() == [True, False, True]
    some = result.some(np.array([2]))
    assert [fault.where.tolist() for fault in some.faults] == [[False], [True], [False]]


def test_names_with_blanks_around_them_are_found_with_and_without() -> None:
    class Adult(Features):
        """As the census file of UCI has them."""

        work: Literal[" Private", " ?", "State gov"] = feature(example=" Private", description="")

    contract = Contract("adult", Adult, Quantity("answer", unit="m", example=1.0))
    found = encoded(
        contract, [{"work": text} for text in (" Private", "Private ", " ?", "State gov", "Stategov")]
    )
    assert found.rows[:4, 0].tolist() == [0.0, 0.0, 1.0, 2.0]
    assert found.faulty.tolist() == [False, False, False, False, True]
    types = {"work": pl.Enum([" Private", " ?"])}
    assert encoded(contract, [{"work": " ?"}, {"work": " Private"}], types).rows[:, 0].tolist() == [
        1.0,
        0.0,
    ]
