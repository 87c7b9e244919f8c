"""FastAPI and Pydantic with no model: validates the same rows and answers a constant."""

from fastapi import FastAPI

from loadtest.systems.iris import Answer, Iris

app = FastAPI()

_ANSWER = Answer(output="Iris-virginica")


@app.post("/predict")
async def predict(row: Iris) -> Answer:
    """The same label for any row."""
    return _ANSWER


@app.post("/predict-many")
async def predict_many(rows: list[Iris]) -> list[Answer]:
    """The same label for each row."""
    return [_ANSWER] * len(rows)
