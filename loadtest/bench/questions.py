"""Asks a system what it must know, and says what was wrong with its answer."""

import http.client
import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from loadtest.bench.processes import Running
from loadtest.bench.systems import Rows, System

MANY = 1000

KNOWN: tuple[tuple[list[float], int], ...] = (
    ([5.0, 2.0, 3.0, 4.0], 2),
    ([5.1, 3.5, 1.4, 0.2], 0),
    ([5.7, 2.8, 4.1, 1.3], 1),
    ([6.5, 3.0, 5.5, 2.0], 2),
)
"""Rows and the index of their label: the example of the README first, then one flower of each kind."""

_READY_SECONDS = 120.0
_TIMEOUT = 30.0
_CALLERS = 32


class WrongAnswerError(Exception):
    """A system does not start, does not answer, or answers wrong."""


def rows(count: int) -> Rows:
    """The known rows, over and over."""
    return [row for row, _ in itertools.islice(itertools.cycle(KNOWN), count)]


def wait_until_ready(system: System, running: Running, port: int) -> None:
    """Return once it answers one row with status 200; WrongAnswerError if it ends or takes too long."""
    late = time.monotonic() + _READY_SECONDS
    while time.monotonic() < late:
        if not running.alive:
            raise WrongAnswerError(f"it ended while it started:\n{running.last_words()}")
        try:
            status, _ = _post(port, system.path, system.body(rows(1)))
        except WrongAnswerError:
            status = 0
        if status == 200:
            return
        time.sleep(0.2)
    raise WrongAnswerError(f"not ready after {_READY_SECONDS:g} seconds:\n{running.last_words()}")


def check(system: System, port: int) -> None:
    """One row, 1,000 rows, and many callers at once, who each must get their own answer."""
    _ask(system, port, *KNOWN[0])
    _ask_many(system, port)
    with ThreadPoolExecutor(_CALLERS) as callers:
        asked = [callers.submit(_ask, system, port, *KNOWN[n % len(KNOWN)]) for n in range(4 * _CALLERS)]
        for one in asked:
            one.result()


def write_bodies(system: System, folder: Path) -> dict[int, Path]:
    """Files with the body of one row and of 1,000 rows, by the number of rows."""
    files = {}
    for count in (1, MANY):
        files[count] = folder / f"{system.name}-{count}.json"
        files[count].write_bytes(_json(system.body(rows(count))))
    return files


def _ask(system: System, port: int, row: list[float], label: int) -> None:
    _compare(system, _post(port, system.path, system.body([row])), [label])


def _ask_many(system: System, port: int) -> None:
    labels = [label for _, label in itertools.islice(itertools.cycle(KNOWN), MANY)]
    _compare(system, _post(port, system.path_many, system.body(rows(MANY))), labels)


def _compare(system: System, said: tuple[int, bytes], labels: list[int]) -> None:
    status, body = said
    if status != 200:
        raise WrongAnswerError(f"status {status}: {body[:300]!r}")
    try:
        given = system.answers(json.loads(body))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise WrongAnswerError(f"an answer that can't be read: {body[:300]!r}") from error
    if system.constant:
        return
    if given != labels:
        wrong = sum(a != b for a, b in zip(given, labels, strict=False))
        raise WrongAnswerError(f"{len(given)} labels for {len(labels)} rows, {wrong} wrong: {body[:100]!r}")


def _post(port: int, path: str, document: object) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
    try:
        connection.request("POST", path, _json(document), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswerError(f"no answer: {error or type(error).__name__}") from error
    finally:
        connection.close()


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
