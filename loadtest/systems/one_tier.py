"""One tier: FastAPI and scikit-learn in one process.

Both common forms are here: an `async def` that computes in place, and a plain `def`, which
FastAPI runs in a thread (`ONE_TIER=def`).
"""

import os

from fastapi import FastAPI

from loadtest.systems.iris import Answer, Iris
from loadtest.systems.model import LABELS, fit

app = FastAPI()
model = fit()


def predict_in_thread(row: Iris) -> Answer:
    """The label of one row."""
    return Answer(output=LABELS[model.predict([row.row()])[0]])


async def predict_in_place(row: Iris) -> Answer:
    """The label of one row."""
    return predict_in_thread(row)


def predict_many_in_thread(rows: list[Iris]) -> list[Answer]:
    """The labels of many rows."""
    return [Answer(output=LABELS[index]) for index in model.predict([row.row() for row in rows])]


async def predict_many_in_place(rows: list[Iris]) -> list[Answer]:
    """The labels of many rows."""
    return predict_many_in_thread(rows)


threads = os.environ.get("ONE_TIER") == "def"
app.post("/predict")(predict_in_thread if threads else predict_in_place)
app.post("/predict-many")(predict_many_in_thread if threads else predict_many_in_place)
