"""The model that every system serves: Sepal's default pipeline for Iris, fitted where it is served."""

import csv
from pathlib import Path

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

LABELS = ("Iris-setosa", "Iris-versicolor", "Iris-virginica")

_DATA = Path(__file__).parents[2] / "data" / "Iris.csv"


def fit() -> Pipeline:
    """A pipeline that takes rows of four lengths in cm and gives the index of the label."""
    with _DATA.open(newline="") as file:
        rows = list(csv.DictReader(file))
    lengths = [[float(value) for name, value in row.items() if name.endswith("Cm")] for row in rows]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(random_state=0))
    return pipeline.fit(lengths, [LABELS.index(row["Species"]) for row in rows])
