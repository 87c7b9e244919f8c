"""Writes data/synthetic_rides.csv: made-up taxi trips in the columns of the TLC's yellow records.

Run with `python -m model_training.synthetic_rides`; it writes the same bytes every time.
"""

import csv
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

PATH = Path(__file__).parents[1] / "data" / "synthetic_rides.csv"

COLUMNS = (
    "VendorID",
    "tpep_pickup_datetime",
    "tpep_dropoff_datetime",
    "passenger_count",
    "trip_distance",
    "PULocationID",
    "DOLocationID",
)

Trip: TypeAlias = tuple[str, ...]

_TRIPS: Final = 4000
_SEED: Final = 2019
_ZONES: Final = 265
_MONTH: Final = datetime(2019, 1, 1)
_SECONDS: Final = 31 * 24 * 3600
_FREE_SPEED, _RUSH_SPEED = 19.0, 10.5  # miles an hour
_CITY = 5.0  # miles, its width and its height


def write(path: Path = PATH) -> None:
    """Write the trips, in the order of their pick-up."""
    trips = list(_trips())
    trips.sort(key=lambda trip: trip[1])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(trips)


def _trips() -> Iterator[Trip]:
    # Only what is exact on every machine: uniform draws and the four operations, and
    # no logarithm or sine, whose last digit depends on the C library.
    draw = random.Random(_SEED)  # noqa: S311 (invented trips need no cryptography)
    centres = [(draw.uniform(0, _CITY), draw.uniform(0, _CITY)) for _ in range(_ZONES)]
    # A few zones are busy, as in the real records, so that some pairs are often seen.
    busy = [1 / (1 + rank // 4) for rank in range(_ZONES)]
    draw.shuffle(busy)
    for number in range(_TRIPS):
        start, end = draw.choices(range(_ZONES), weights=busy, k=2)
        pickup = _MONTH + timedelta(seconds=draw.randrange(_SECONDS))
        miles = _miles(draw, centres[start], centres[end])
        seconds = _unusual_seconds(draw, number) or _seconds(draw, pickup, miles)
        yield (
            str(draw.randint(1, 2)),
            pickup.isoformat(sep=" "),
            (pickup + timedelta(seconds=seconds)).isoformat(sep=" "),
            str(draw.choices((1, 2, 3, 4, 5, 6), weights=(70, 15, 5, 2, 5, 3))[0]),
            f"{miles:.2f}",
            str(start + 1),
            str(end + 1),
        )


def _miles(draw: random.Random, start: tuple[float, float], end: tuple[float, float]) -> float:
    """Along the blocks of the city, with a detour now and then."""
    blocks = abs(start[0] - end[0]) + abs(start[1] - end[1])
    return (blocks + draw.uniform(0.3, 1.2)) * draw.uniform(1.0, 1.15)


def _seconds(draw: random.Random, pickup: datetime, miles: float) -> int:
    """Slower on weekdays between 7 and 19 o'clock; two minutes go by before it moves."""
    rush = pickup.weekday() < 5 and 7 <= pickup.hour < 19
    speed = (_RUSH_SPEED if rush else _FREE_SPEED) + miles * 0.4  # longer trips take faster roads
    return int((120 + miles / speed * 3600) * draw.uniform(0.75, 1.3))


def _unusual_seconds(draw: random.Random, number: int) -> int:
    """For one trip in a hundred, under a minute or well over an hour; 0 for the others."""
    if number % 200 == 50:
        return draw.randint(3, 55)
    if number % 200 == 150:
        return draw.randint(3700, 86000)
    return 0


if __name__ == "__main__":
    write()
