"""The client for asyncio: `AsyncClient`."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self, Unpack, overload

import httpx

from sepal.client.answers import ModelDescription, Prediction, read_descriptions
from sepal.client.core import Asking, Choices, Core, Model, Options, lost
from sepal.client.exchange import Course, Lost, Reply, Send, T, Wait
from sepal.client.rows import Part, Row, Rows

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class AsyncClient:
    """A connection to the service, for any number of tasks of one event loop.

    Close it, or use it as a context manager:
    `async with AsyncClient("https://sepal.example", api_key="…")`.
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", **choices: Unpack[Choices]) -> None:
        self._core = Core(Options(url, **choices))
        self._http = httpx.AsyncClient(**self._core.options.for_httpx())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    @overload
    async def predict(self, model: Model, rows: Row, **asking: Unpack[Asking]) -> Prediction: ...
    @overload
    async def predict(
        self, model: Model, rows: "pd.DataFrame", **asking: Unpack[Asking]
    ) -> "pd.DataFrame": ...
    @overload
    async def predict(
        self, model: Model, rows: "pl.DataFrame", **asking: Unpack[Asking]
    ) -> "pl.DataFrame": ...
    @overload
    async def predict(
        self, model: Model, rows: Iterable[Row], **asking: Unpack[Asking]
    ) -> list[Prediction]: ...
    async def predict(self, model: Model, rows: Rows, **asking: Unpack[Asking]) -> Any:
        """The answer to each row, in order: one, a list, or a frame, as the rows were given.

        Raises a ServiceError, or DataError for rows that can't be sent.
        """
        core, deadline = self._core, self._core.deadline(asking)
        given = core.given(model, rows)

        async def answer(part: Part) -> list[Prediction]:
            async with free:
                return await self._carry_out(core.predict(model, part, deadline, asking))

        free = asyncio.Semaphore(core.options.concurrency)
        tasks = [asyncio.create_task(answer(part)) for part in core.parts(given)]
        try:
            return given.result(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def models(self) -> list[ModelDescription]:
        """The models that the service has, with their features, and whether they answer."""
        return read_descriptions(await self._carry_out(self._core.get("/models")))

    async def _carry_out(self, steps: Course[T]) -> T:
        outcome: Reply | Lost | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                outcome = None
            else:
                outcome = await self._send(step)

    async def _send(self, step: Send) -> Reply | Lost:
        try:
            async with (
                asyncio.timeout(step.deadline.left),
                self._http.stream(**self._core.for_sending(step)) as response,
            ):
                body = await response.aread()
        except httpx.RequestError as error:
            return lost(error)
        except TimeoutError:
            return Lost("it is too slow")
        return Reply(response.status_code, response.headers, body)
