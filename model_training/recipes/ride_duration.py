"""Trains ride_duration: the minutes of a taxi ride, from the TLC's trip records."""

from pathlib import Path

import numpy as np
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, SplineTransformer, StandardScaler

from model_training.gate import AtMostShareOfMeanPredictor, NotWorseThanChampion
from model_training.recipe import Recipe
from model_training.tables import (
    Floats,
    Sieve,
    TrainingData,
    column_names,
    encode,
    find_column,
    keep,
    read_table,
    seconds,
)
from sepal.contracts import Contract
from sepal.contracts.ride_duration import contract as ride_duration

DROPOFF_TIMES = ("tpep_dropoff_datetime", "lpep_dropoff_datetime", "dropoff_datetime")
"""The end of a trip in yellow, green and older records; known in training alone."""

SHORTEST, LONGEST = 1.0, 60.0
"""Minutes of a trip to learn from; others are meters started by mistake or left running."""

_WEEK = 7 * 24 * 3600.0
_TWO_HOURLY = np.linspace(0, _WEEK, 7 * 12 + 1).reshape(-1, 1)
_AT = {column.name: at for at, column in enumerate(ride_duration.columns)}
_ZONES = [_AT["PULocationID"], _AT["DOLocationID"]]


def read_rides(path: Path, contract: Contract) -> TrainingData:
    """Read trip records, yellow, green or older; the duration is drop-off less pickup, in minutes.

    Raises NotFoundError for a file that is not there, DataError for one with wrong
    columns or with no trip that can be used.
    """
    found = column_names(path)
    matched = contract.match_columns(found)
    start = contract.columns[_AT["pickup_datetime"]]
    # Optional in a prediction; without it there is no duration to learn.
    pickup = matched.get(start.name) or find_column(found, (start.name, *start.aliases), contract)
    dropoff = find_column(found, DROPOFF_TIMES, contract)
    table = read_table(path, [*matched.values(), dropoff])
    sieve = Sieve(len(table))
    X = encode(contract, table, matched, sieve)
    minutes = (seconds(table[dropoff]) - seconds(table[pickup])) / 60
    _drop_by_duration(minutes, sieve)
    return keep(X, minutes, sieve, path)


def _drop_by_duration(minutes: Floats, sieve: Sieve) -> None:
    sieve.drop(np.isnan(minutes), "pickup or drop-off time missing or not a time")
    sieve.drop(minutes < SHORTEST, f"duration under {SHORTEST:g} minute")
    sieve.drop(minutes > LONGEST, f"duration over {LONGEST:g} minutes")


def linear(seed: int) -> Pipeline:
    """Ridge regression on the crossed zones, each zone, the distance and the time of the week.

    It fits the root of the duration on the logarithm of the distance: a mile more adds
    less to a long ride, the noise grows with the length, and no answer is below zero.
    A pair or a zone that training never saw adds nothing, which is what an average one adds.
    """
    pair = make_pipeline(
        # 1000 x pickup zone + drop-off zone: one number for each pair.
        FunctionTransformer(np.dot, kw_args={"b": np.array([[1000.0], [1.0]])}),
        OneHotEncoder(handle_unknown="ignore"),
    )
    distance = make_pipeline(FunctionTransformer(np.log1p), StandardScaler())
    time_of_week = SplineTransformer(
        # A missing time is all zeros: under the ridge penalty, the average over the week.
        knots=_TWO_HOURLY,
        extrapolation="periodic",
        handle_missing="zeros",
        sparse_output=True,
    )
    features = ColumnTransformer(
        [
            ("pair", pair, _ZONES),
            ("zone", OneHotEncoder(handle_unknown="ignore"), _ZONES),
            ("distance", distance, [_AT["trip_distance"]]),
            ("time_of_week", time_of_week, [_AT["pickup_datetime"]]),
        ]
    )
    root_of_minutes = TransformedTargetRegressor(
        Ridge(alpha=3.0, random_state=seed), func=np.sqrt, inverse_func=np.square
    )
    return make_pipeline(features, root_of_minutes)


recipe = Recipe(
    model=ride_duration.name,
    default_data="synthetic_rides.csv",
    algorithms={"linear": linear},
    read=read_rides,
    gate=(AtMostShareOfMeanPredictor(0.60), NotWorseThanChampion("rmse", margin=0.1)),
    group_by=("pickup_datetime", "PULocationID", "DOLocationID"),
)
