"""The plain two-tier system's gateway: FastAPI, and one upstream call for each request."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from fastapi import FastAPI

from loadtest.systems.iris import Answer, Iris
from loadtest.systems.model import LABELS


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with aiohttp.ClientSession() as session:
        app.state.session = session
        yield


app = FastAPI(lifespan=_lifespan)


async def _score(rows: list[list[float]]) -> list[Answer]:
    url = os.environ["MODEL_SERVER_URL"] + "/score"
    async with app.state.session.post(url, json={"rows": rows}) as response:
        response.raise_for_status()
        return [Answer(output=LABELS[index]) for index in await response.json()]


@app.post("/predict")
async def predict(row: Iris) -> Answer:
    """The label of one row."""
    return (await _score([row.row()]))[0]


@app.post("/predict-many")
async def predict_many(rows: list[Iris]) -> list[Answer]:
    """The labels of many rows."""
    return await _score([row.row() for row in rows])
