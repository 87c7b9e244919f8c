"""The client that waits: `Client`."""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, Unpack, overload

import httpx

from sepal.client.answers import ModelDescription, Prediction, read_descriptions
from sepal.client.core import Asking, Choices, Core, Model, Options, lost
from sepal.client.exchange import Course, Lost, Reply, Send, T, Wait
from sepal.client.rows import Part, Row, Rows

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class Client:
    """A connection to the service, for any number of threads.

    Close it, or use it as a context manager: `with Client("https://sepal.example", api_key="…")`.
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", **choices: Unpack[Choices]) -> None:
        self._core = Core(Options(url, **choices))
        self._http = httpx.Client(**self._core.options.for_httpx())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    @overload
    def predict(self, model: Model, rows: Row, **asking: Unpack[Asking]) -> Prediction: ...
    @overload
    def predict(self, model: Model, rows: "pd.DataFrame", **asking: Unpack[Asking]) -> "pd.DataFrame": ...
    @overload
    def predict(self, model: Model, rows: "pl.DataFrame", **asking: Unpack[Asking]) -> "pl.DataFrame": ...
    @overload
    def predict(self, model: Model, rows: Iterable[Row], **asking: Unpack[Asking]) -> list[Prediction]: ...
    def predict(self, model: Model, rows: Rows, **asking: Unpack[Asking]) -> Any:
        """The answer to each row, in order: one, a list, or a frame, as the rows were given.

        Raises a ServiceError, or DataError for rows that can't be sent.
        """
        core, deadline = self._core, self._core.deadline(asking)
        given = core.given(model, rows)

        def answer(part: Part) -> list[Prediction]:
            return self._carry_out(core.predict(model, part, deadline, asking))

        parts = core.parts(given)
        if len(parts) < 2:
            return given.result([answer(part) for part in parts])
        with ThreadPoolExecutor(min(core.options.concurrency, len(parts))) as pool:
            try:
                answers: Sequence[list[Prediction]] = list(pool.map(answer, parts))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        return given.result(answers)

    def models(self) -> list[ModelDescription]:
        """The models that the service has, with their features, and whether they answer."""
        return read_descriptions(self._carry_out(self._core.get("/models")))

    def _carry_out(self, steps: Course[T]) -> T:
        outcome: Reply | Lost | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Wait):
                time.sleep(step.seconds)
                outcome = None
            else:
                outcome = self._send(step)

    def _send(self, step: Send) -> Reply | Lost:
        try:
            with self._http.stream(**self._core.for_sending(step)) as response:
                body = b"".join(step.deadline.watch(response.iter_bytes()))
        except httpx.RequestError as error:
            return lost(error)
        return Reply(response.status_code, response.headers, body)
