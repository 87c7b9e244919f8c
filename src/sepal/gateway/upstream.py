"""The gateway's client of the model server, over one aiohttp session."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from sepal.contracts import Contract, wire
from sepal.errors import ModelServerTimeoutError, ModelServerUnavailableError
from sepal.gateway.answers import Answers
from sepal.gateway.breaker import Breaker
from sepal.settings import Settings

logger = logging.getLogger(__name__)

_KEEP_ALIVE = 30
"""Seconds that an idle connection is kept; less than the model server keeps it."""

_LARGEST_STATUS = 2**20
"""Bytes of the model server's status that are read; more is nonsense."""


class ModelServer:
    """Scores rows by calling the model server. It may be away: the breaker finds out when it is back."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self.breaker = Breaker(self.status)

    async def score(self, contract: Contract, rows: bytes, keys: bytes = b"") -> Answers:
        """Answers to encoded rows, with their keys if any has one, in their order, by one call.

        Raises ModelServerUnavailableError if it is away, overloaded or answers nonsense,
        ModelServerTimeoutError if it takes longer than the deadline.
        """
        self.breaker.check()
        media_type = wire.KEYED_MEDIA_TYPE if keys else wire.MEDIA_TYPE
        headers = {"Content-Type": media_type, wire.CONTRACT_HEADER: contract.signature}
        n_rows = len(rows) // (len(contract.columns) * wire.ITEM_BYTES)
        n_bytes = n_rows * contract.answer_width * wire.ITEM_BYTES
        body = rows + keys
        async with self._call("POST", f"/{contract.name}/score", data=body, headers=headers) as response:
            if response.content_type != wire.MEDIA_TYPE or response.content_length != n_bytes:
                raise _nonsense(f"{response.content_type} of {response.content_length} bytes")
            body = await response.content.readexactly(n_bytes)
            return _read_answers(contract, body, response.headers.get(wire.VERSIONS_HEADER, ""))

    async def status(self) -> dict[str, Any]:
        """What the model server says of each model: `{"version": …}` or `{"error": …}`."""
        return await self._ask("/models", dict)

    async def versions(self) -> dict[str, list[dict[str, Any]]]:
        """Every version of each model that the model server's registry has, as `{"name": …}`."""
        return await self._ask("/versions", list)

    async def _ask(self, path: str, kind: type) -> dict[str, Any]:
        """A JSON object that says something of this kind of each model."""
        async with self._call("GET", path) as response:
            body = await response.content.read(_LARGEST_STATUS)
        try:
            said = json.loads(body)
        except ValueError as error:
            raise _nonsense("no JSON") from error
        if not isinstance(said, dict) or not all(isinstance(of_model, kind) for of_model in said.values()):
            raise _nonsense("no status")
        return said

    @asynccontextmanager
    async def _call(self, method: str, path: str, **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:  # noqa: ANN401 (aiohttp's)
        try:
            async with self._session.request(method, self._url + path, **more) as response:
                if response.status != 200:
                    raise _refused(path, response.status)
                yield response
        except aiohttp.ConnectionTimeoutError as error:
            self.breaker.trip()
            raise _away(error) from error
        except TimeoutError as error:
            logger.warning("the model server did not answer %s in time", path)
            raise ModelServerTimeoutError(
                "The model server did not answer in time. Try again, with fewer rows."
            ) from error
        except (aiohttp.ClientError, EOFError, OSError) as error:
            self.breaker.trip()
            raise _away(error) from error


@asynccontextmanager
async def open_model_server(settings: Settings) -> AsyncIterator[ModelServer]:
    """A client with the pool and the deadlines that the settings say."""
    connector = aiohttp.TCPConnector(limit=settings.upstream_connections, keepalive_timeout=_KEEP_ALIVE)
    timeout = aiohttp.ClientTimeout(total=settings.request_timeout, sock_connect=settings.connect_timeout)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        model_server = ModelServer(session, settings.upstream)
        try:
            yield model_server
        finally:
            await model_server.breaker.close()


def _read_answers(contract: Contract, body: bytes, versions: str) -> Answers:
    """The answers in a body of the right length, once they are found to be answers."""
    try:
        names = {float(number): str(name) for number, name in json.loads(versions).items()}
    except (ValueError, AttributeError) as error:
        raise _nonsense(f"version names {versions!r}") from error
    numbers = wire.unpack(body)
    version, *target = (numbers[at :: contract.answer_width] for at in range(contract.answer_width))
    if not names.keys() >= set(version) or not contract.target.accepts(target):
        raise _nonsense(f"numbers {numbers[:10].tolist()} …, versions {versions}")
    return Answers(numbers, names)


def _away(error: Exception) -> ModelServerUnavailableError:
    logger.warning("the model server can't be reached: %s", error or type(error).__name__)
    return ModelServerUnavailableError("The model server can't be reached. Try again shortly.")


def _refused(path: str, status: int) -> ModelServerUnavailableError | ModelServerTimeoutError:
    logger.warning("the model server answered %s with status %s", path, status)
    if status == 504:
        return ModelServerTimeoutError("The model server gave up on these rows. Try again, with fewer.")
    return ModelServerUnavailableError("The model server could not score these rows. Try again shortly.")


def _nonsense(what: str) -> ModelServerUnavailableError:
    logger.error("the model server answered nonsense: %s", what)
    return ModelServerUnavailableError("The model server gave no valid answer. Try again shortly.")
