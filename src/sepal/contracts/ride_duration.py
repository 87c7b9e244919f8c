"""Ride duration: the worked example of a regression.

Column names are those of the New York City Taxi and Limousine Commission's trip
records (yellow, green, and the older lower-case ones as aliases):
https://www.nyc.gov/site/tlc/about/tlc-trip-record-data.page
"""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from sepal.contracts import Contract, Features, Integer, Quantity, WallClock, feature

Zone = Annotated[Integer, Field(ge=1, le=265)]
Miles = Annotated[float, Field(ge=0, le=500)]
PickupTime = Annotated[WallClock, Field(ge=datetime(2009, 1, 1), lt=datetime(2100, 1, 1))]


class RideDuration(Features):
    """How long a taxi ride in New York City takes, from where it starts and ends and how far it is."""

    PULocationID: Zone = feature(
        "pickup_location_id", example=10, description="TLC zone in which the ride starts."
    )
    DOLocationID: Zone = feature(
        "dropoff_location_id", example=50, description="TLC zone in which the ride ends."
    )
    trip_distance: Miles = feature(example=40, unit="miles", description="Distance of the ride.")
    pickup_datetime: PickupTime | None = feature(
        "tpep_pickup_datetime",
        "lpep_pickup_datetime",
        example="2019-01-15T08:30:00",
        description="When the ride starts, from 2009 on: New York's wall-clock time.",
        optional=True,
    )


contract = Contract(
    name="ride_duration",
    features=RideDuration,
    target=Quantity(column="duration", unit="minutes", example=63.4),
)
