"""Bodies that are meant to hurt: refused in bounded time and memory."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from tests.faults.judge import PATH, Judge, fault_of_problem
from tests.faults.raw import CUT, Reply, ask, exceptions_in, head, post
from tests.faults.results import Form, Result
from tests.faults.tiers import gateway, model_server, running
from tests.faults.watch import MIB, watching
from tests.tiers import IRIS, Place

SECONDS = 5.0
"""Within which each is refused; clients that are slow are cut off within WAIT."""
WAIT = 40.0
MEMORY = 200.0
"""MiB that all of it may cost the gateway, at the most."""
_FLOOD = 100 * 10**6
_BLOCK = 2**16
_REFUSED = (400, 408, 411, 413, 415, 422, 431)

Parts = Iterator[bytes] | AsyncIterator[bytes]


@dataclass(frozen=True)
class Body:
    """One of them: how it is sent, which statuses are right, and how long it may take."""

    name: str
    parts: Callable[[], Parts]
    statuses: tuple[int, ...] = _REFUSED
    seconds: float = SECONDS


def _whole(body: bytes, *headers: str, media_type: str = "application/json") -> Callable[[], Parts]:
    return lambda: iter([post(PATH, body, *headers, media_type=media_type)])


def _flood(*headers: str, chunked: bool) -> Parts:
    """A hundred megabytes of JSON that might yet become an array of rows."""
    yield head(PATH, *headers)
    block = b"[" + b" " * (_BLOCK - 1)
    for _ in range(_FLOOD // _BLOCK):
        yield b"%x\r\n%s\r\n" % (len(block), block) if chunked else block


async def _trickle() -> AsyncIterator[bytes]:
    """A chunk a second, for ever."""
    yield head(PATH, "Transfer-Encoding: chunked")
    while True:
        yield b"1\r\n \r\n"
        await asyncio.sleep(1)


def _twice() -> bytes:
    """A sound row, but for one name that stands there twice."""
    return json.dumps(IRIS).encode().replace(b"{", b'{"PetalWidthCm": 1, ', 1)


def _bodies() -> list[Body]:
    deep, keys = 10_000, 1_000_000
    row = json.dumps(IRIS)
    million = "{" + ",".join(f'"k{number}":0' for number in range(keys)) + "}"
    million_rows = "[" + ",".join(["{}"] * keys) + "]"
    bomb = gzip.compress(b"[" + b" " * _FLOOD + b"]")
    return [
        Body("100 MB, said at once", lambda: _flood(f"Content-Length: {_FLOOD}", chunked=False)),
        Body("100 MB in chunks", lambda: _flood("Transfer-Encoding: chunked", chunked=True)),
        Body("chunks without end, one a second", _trickle, seconds=WAIT),
        Body("a length that never comes", lambda: iter([head(PATH, "Content-Length: 90")]), seconds=WAIT),
        Body("no length", lambda: iter([head(PATH)])),
        Body("10,000 deep, arrays", _whole(b"[" * deep + b"]" * deep)),
        Body("10,000 deep, objects", _whole(b'{"a":' * deep + b"1" + b"}" * deep)),
        Body("10,000 deep in a feature", _whole(row.replace("5", "[" * deep + "]" * deep, 1).encode())),
        Body("a million keys", _whole(million.encode())),
        Body("a million rows", _whole(million_rows.encode())),
        Body("a name of 10 MB", _whole(b'{"' + b"n" * 10**7 + b'": 1}')),
        Body("a number of 1 MB", _whole(row.replace("5", "1" * 10**6, 1).encode())),
        Body("UTF-16", _whole(row.encode("utf-16"))),
        Body("Latin-1", _whole('{"Sepälength": 1}'.encode("latin-1"))),
        Body("half of a surrogate", _whole(b'{"\\ud800": 1}')),
        Body("NUL bytes", _whole(b"\0" * 1000)),
        Body("a NUL byte in a name", _whole(row.replace("Sepal", "Se\0pal", 1).encode())),
        Body("an escaped NUL in a name", _whole(row.replace("Sepal", "Se\\u0000pal", 1).encode())),
        Body("NaN and Infinity", _whole(row.replace("5", "NaN", 1).replace("4", "Infinity", 1).encode())),
        Body("a gzip bomb", _whole(bomb, "Content-Encoding: gzip")),
        Body("a gzip bomb that is called JSON", _whole(bomb)),
        Body("a name twice", _whole(_twice())),
        Body("a name twice in one of two rows", _whole(b"[" + row.encode() + b"," + _twice() + b"]")),
        Body("a name and its alias", _whole(row.replace("{", '{"sepal length (cm)": 6, ', 1).encode())),
        Body("both lengths", _whole(row.encode(), "Transfer-Encoding: chunked")),
        Body("a form", _whole(b"a=1", media_type="application/x-www-form-urlencoded")),
        Body("a head of 1 MB", lambda: iter([head(PATH, "X-Noise: " + "n" * 10**6)])),
        Body("10,000 headers", lambda: iter([head(PATH, *(f"X-{number}: n" for number in range(10_000)))])),
    ]


async def hostile(place: Place, form: Form) -> Result:
    """Each by itself; then the good ones four at a time, to see that memory is bounded in total."""
    judge = Judge(place.settings)
    server = model_server(place)
    front = gateway(place, server.url, client_timeout=form.of(10.0, 2.0))
    result, told = Result("bodies"), dict[str, str]()
    faults: list[str] = []
    async with running(server, front):
        async with watching(front, every=0.02) as watch:
            await _sound(front.port, judge)
            rss = watch.peak("gateway")
            bodies = _bodies()
            quick = [body for body in bodies if body.seconds <= SECONDS]
            patient = [body for body in bodies if body not in quick]
            waiting = asyncio.gather(*(_try(body, front.port) for body in patient))
            for body in quick:
                before = watch.peak("gateway")
                reply = await _try(body, front.port)
                faults += _faults(body, reply)
                grown = (watch.peak("gateway") - before) / MIB
                told[body.name] = (
                    f"{reply.status or reply.body.decode()}, {reply.seconds:.2f} s, +{grown:.0f} MiB"
                )
                faults += [
                    f"{body.name}: then {fault}" for fault in [await _sound(front.port, judge)] if fault
                ]
            for body, reply in zip(patient, await waiting, strict=True):
                faults += _faults(body, reply)
                told[body.name] = f"{reply.status or reply.body.decode()}, {reply.seconds:.2f} s"
        result.equal("the gateway is the same process", len(watch.seen), 1)
        peak = (watch.peak("gateway") - rss) / MIB
    result.none("not refused as it should be", faults)
    result.at_most("RSS of the gateway at its peak, above before", peak, MEMORY, "MiB")
    result.none("traces of exceptions in the gateway's log", exceptions_in(front.log.read_text()))
    result.measured = told
    return result


async def _try(body: Body, port: int) -> Reply:
    return await ask(port, body.parts(), body.seconds + 1)


async def _sound(port: int, judge: Judge) -> str | None:
    """A sound request in between: None, or what was wrong with its answer."""
    index = judge.draw()
    reply = await ask(port, [post(PATH, judge.bodies[index])], SECONDS)
    verdict = judge.verdict(index, reply.status, reply.headers, reply.body)
    return None if verdict == "right" else verdict


def _faults(body: Body, reply: Reply) -> list[str]:
    if reply.status == 0:
        if body.seconds == WAIT and reply.body == CUT.encode():
            return []  # its answer had begun to be made when its client was found to be slow
        return [f"{body.name}: {reply.body.decode()}"]
    found = []
    if reply.seconds > body.seconds:
        found.append(f"{body.name}: {reply.seconds:.1f} s")
    if (fault := fault_of_problem(reply.status, reply.headers, reply.body, body.statuses)) is not None:
        found.append(f"{body.name}: {fault}")
    return found
