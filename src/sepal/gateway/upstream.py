"""The gateway's client of the model server, over one aiohttp session."""

import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import Any, TypeVar

import aiohttp
from pydantic import TypeAdapter, ValidationError

from sepal.contracts import Contract, wire
from sepal.errors import ModelServerTimeoutError, ModelServerUnavailableError
from sepal.gateway.answers import Answers
from sepal.gateway.breaker import Breaker
from sepal.gateway.calls import CallRecorder
from sepal.gateway.retries import RetryBudget
from sepal.gateway.status import STATUS, VERSIONS, ModelStatus
from sepal.settings import Settings
from sepal.tls import upstream_context

logger = logging.getLogger(__name__)

T = TypeVar("T")

_KEEP_ALIVE = 30
"""Seconds that an idle connection is kept; less than the model server keeps it."""

_STATUS_TIME = 1.0
"""Seconds that asking for the status may take, or the connect timeout if that is longer."""

TOO_LATE = "The model server did not answer in time. Try again, with fewer rows."
_NO_STATUS = "The model server did not say in time how it is. Try again shortly."

_LARGEST_STATUS = 2**20
"""Bytes of the model server's status that are read; more is nonsense."""


_FAILURES = (500, 502, 504)
"""Statuses that count as a failed call, as do all below 400: no model server redirects. A 503 is a refusal,
which is quick and may be one model's own."""

_FULL_TIME = 0.5
"""A call that had less than this part of the default deadline tells nothing by missing its own."""


class _NothingAnsweredError(ModelServerUnavailableError):
    """A connection that failed, or was closed before any byte of an answer."""


class ModelServer:
    """Scores rows by calling the model server. It may be away: the breaker finds out when it is back."""

    def __init__(self, session: aiohttp.ClientSession, settings: Settings, recorder: CallRecorder) -> None:
        self._session = session
        self._url = settings.upstream
        self._recorder = recorder
        self._longest = settings.request_timeout
        self._connect = settings.connect_timeout
        self._status_time = max(settings.connect_timeout, _STATUS_TIME)
        self._retries = RetryBudget(settings.retry_budget)
        self.breaker = Breaker(self.status, settings.breaker_failures)
        self.retried = 0

    async def score(
        self, contract: Contract, rows: bytes, keys: bytes = b"", deadline: float | None = None
    ) -> Answers:
        """Answers to encoded rows, with their keys if any has one, in their order, by one call.

        Raises ModelServerUnavailableError if it is away, overloaded or answers nonsense,
        ModelServerTimeoutError if it has not answered by the deadline, in monotonic seconds.
        """
        until = time.monotonic() + self._longest if deadline is None else deadline
        self.breaker.admit()
        self._retries.earn()
        try:
            return await self._score(contract, rows, keys, until)
        except _NothingAnsweredError:
            # A server that is closing idle connections closes this one just as it is used, and then it
            # has scored nothing. If it has: scoring changes nothing, so it may be done twice. But one
            # that has died may take connections and answer nobody, hence the question first.
            if not self._retries.spend():
                self.breaker.trip()
                raise
        except BaseException:
            self.breaker.undecided()
            raise
        self.retried += 1
        try:
            await self._ask_before_retry(until)
            return await self._score(contract, rows, keys, until)
        except _NothingAnsweredError:
            self.breaker.trip()
            raise
        finally:
            self.breaker.undecided()

    async def _ask_before_retry(self, until: float) -> None:
        left = _left(until)
        try:
            await self._ask("/models", STATUS, left)
        except ModelServerTimeoutError as error:
            if left < self._status_time:  # so little that it tells nothing
                raise ModelServerTimeoutError(TOO_LATE) from error
            raise _away(error, _NothingAnsweredError) from error

    async def _score(self, contract: Contract, rows: bytes, keys: bytes, until: float) -> Answers:
        left = _left(until)
        headers = {
            "Content-Type": wire.KEYED_MEDIA_TYPE if keys else wire.MEDIA_TYPE,
            wire.CONTRACT_HEADER: contract.signature,
            wire.TIME_LEFT_HEADER: f"{left:.3f}",
        }
        n_rows = len(rows) // (len(contract.columns) * wire.ITEM_BYTES)
        n_bytes = n_rows * contract.answer_width * wire.ITEM_BYTES
        path = f"/{contract.name}/score"
        with self._recorder.call(contract.name, path, n_rows) as names:
            return await self._exchange(contract, path, rows + keys, n_bytes, headers | names, left)

    async def _exchange(
        self, contract: Contract, path: str, body: bytes, n_bytes: int, headers: dict[str, str], left: float
    ) -> Answers:
        full_time = left >= self._longest * _FULL_TIME
        more: Any = {"data": body, "headers": headers}
        async with self._call("POST", path, left, full_time, **more) as response:
            if response.content_type != wire.MEDIA_TYPE or response.content_length != n_bytes:
                self.breaker.failed()
                raise _nonsense(f"{response.content_type} of {response.content_length} bytes")
            body = await response.content.readexactly(n_bytes)
            try:
                answers = _read_answers(contract, body, response.headers.get(wire.VERSIONS_HEADER, ""))
            except ModelServerUnavailableError:
                self.breaker.failed()
                raise
        self.breaker.succeeded()
        return answers

    async def status(self) -> dict[str, ModelStatus]:
        """What the model server says of each model."""
        return await self._ask("/models", STATUS)

    async def versions(self) -> dict[str, list[dict[str, Any]]]:
        """Every version of each model that the model server's registry has, as `{"name": …}`."""
        return await self._ask("/versions", VERSIONS)

    async def _ask(self, path: str, kind: TypeAdapter[T], left: float = inf) -> T:
        """A JSON document of this kind."""
        seconds, body = min(self._status_time, left), bytearray()
        async with self._call("GET", path, seconds, too_late=_NO_STATUS) as response:
            async for part in response.content.iter_any():
                body += part
                if len(body) > _LARGEST_STATUS:
                    raise _nonsense(f"more than {_LARGEST_STATUS} bytes at {path}")
        try:
            return kind.validate_json(body)
        except ValidationError as error:
            raise _nonsense(f"{error.errors()[0]['msg']} at {path}") from error

    @asynccontextmanager
    async def _call(
        self,
        method: str,
        path: str,
        seconds: float,
        full_time: bool = False,
        too_late: str = TOO_LATE,
        **more: Any,  # noqa: ANN401 (aiohttp's)
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        answered = False
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(self._connect, seconds))
        try:
            async with self._session.request(
                method, self._url + path, timeout=timeout, allow_redirects=False, **more
            ) as response:
                answered = True
                if response.status != 200:
                    if response.status in _FAILURES or response.status < 400:
                        self.breaker.failed()
                    raise _refused(path, response.status)
                yield response
        except aiohttp.ConnectionTimeoutError as error:
            self.breaker.trip()
            raise _away(error) from error
        except TimeoutError as error:
            if full_time:
                self.breaker.failed()
            logger.warning("the model server did not answer %s in time", path)
            raise ModelServerTimeoutError(too_late) from error
        except (aiohttp.ClientError, EOFError, OSError) as error:
            if not answered:
                raise _away(error, _NothingAnsweredError) from error
            self.breaker.trip()
            raise _away(error) from error


@asynccontextmanager
async def open_model_server(settings: Settings, recorder: CallRecorder) -> AsyncIterator[ModelServer]:
    """A client with the pool and the deadlines that the settings say."""
    connector = aiohttp.TCPConnector(
        limit=settings.upstream_connections, keepalive_timeout=_KEEP_ALIVE, ssl=upstream_context(settings)
    )
    async with aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        model_server = ModelServer(session, settings, recorder)
        try:
            yield model_server
        finally:
            await model_server.breaker.close()


def _left(until: float) -> float:
    """Seconds until then, or ModelServerTimeoutError if there are none."""
    left = until - time.monotonic()
    if left <= 0:
        raise ModelServerTimeoutError(TOO_LATE)
    return left


def _read_answers(contract: Contract, body: bytes, versions: str) -> Answers:
    """The answers in a body of the right length, once they are found to be answers."""
    try:
        names = {float(number): str(name) for number, name in json.loads(versions).items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise _nonsense(f"version names {versions!r}") from error
    numbers = wire.unpack(body)
    version, *target = (numbers[at :: contract.answer_width] for at in range(contract.answer_width))
    if not names.keys() >= set(version) or not contract.target.accepts(target):
        raise _nonsense(f"numbers {numbers[:10].tolist()} …, versions {versions}")
    return Answers(numbers, names)


def _away(
    error: Exception, kind: type[ModelServerUnavailableError] = ModelServerUnavailableError
) -> ModelServerUnavailableError:
    logger.warning("the model server can't be reached: %s", str(error) or type(error).__name__)
    return kind("The model server can't be reached. Try again shortly.")


def _refused(path: str, status: int) -> ModelServerUnavailableError | ModelServerTimeoutError:
    logger.warning("the model server answered %s with status %s", path, status)
    if status == 504:
        return ModelServerTimeoutError("The model server gave up on these rows. Try again, with fewer.")
    return ModelServerUnavailableError("The model server could not score these rows. Try again shortly.")


def _nonsense(what: str) -> ModelServerUnavailableError:
    logger.error("the model server answered nonsense: %s", what)
    return ModelServerUnavailableError("The model server gave no valid answer. Try again shortly.")
