"""The ride duration contract: zones, miles, and an optional wall-clock time."""

from datetime import datetime

import pytest
from pydantic import ValidationError

from sepal.contracts.ride_duration import RideDuration, contract

GOOD = {"PULocationID": 10, "DOLocationID": 50, "trip_distance": 40}


def test_the_pickup_time_may_be_left_out_or_null() -> None:
    assert RideDuration.model_validate(GOOD) == RideDuration.model_validate(
        {**GOOD, "pickup_datetime": None}
    )


def test_the_pickup_time_is_text_on_the_wall_clock() -> None:
    row = RideDuration.model_validate({**GOOD, "pickup_datetime": "2019-01-15T08:30:00"})
    assert row.pickup_datetime == datetime(2019, 1, 15, 8, 30)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1547541000, "give the time as text"),
        (True, "give the time as text"),
        ("1547541000", "timezone"),
        ("2019-01-15T08:30:00Z", "timezone"),
        ("2008-12-31T23:59:59", "greater than or equal"),
        ("2100-01-01T00:00:00", "less than"),
        ("yesterday", "valid datetime"),
    ],
)
def test_any_other_pickup_time_is_refused(value: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RideDuration.model_validate({**GOOD, "pickup_datetime": value})


def test_a_zone_may_be_written_with_a_decimal_point() -> None:
    assert RideDuration.model_validate({**GOOD, "PULocationID": 10.0}) == RideDuration.model_validate(GOOD)


@pytest.mark.parametrize("zone", [0, 266, 10.5, True, "10", None])
def test_a_zone_that_does_not_exist_is_refused(zone: object) -> None:
    with pytest.raises(ValidationError):
        RideDuration.model_validate({**GOOD, "PULocationID": zone})


def test_the_records_column_names_are_known() -> None:
    assert contract.match_columns(
        ["tpep_pickup_datetime", "pickup_location_id", "DOLocationID", "trip_distance", "fare_amount"]
    ) == {
        "pickup_datetime": "tpep_pickup_datetime",
        "PULocationID": "pickup_location_id",
        "DOLocationID": "DOLocationID",
        "trip_distance": "trip_distance",
    }
