"""Sound requests with random bytes of them changed: no 500, and no exception's text."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.faults.clients import percentile
from tests.faults.judge import LEAK, PATH, Judge, fault_of_problem
from tests.faults.raw import Reply, ask, exceptions_in, is_of_the_protocol, post
from tests.faults.results import Form, Result
from tests.faults.tiers import gateway, model_server, running
from tests.faults.watch import MIB, watching
from tests.tiers import Place

SEED = 6
_AT_ONCE = 48
_WAIT_FOR_JSON, _WAIT_FOR_HTTP = 5.0, 0.3
"""Seconds for an answer. A request whose length was changed is never complete, and gets none."""
_ANY = tuple(range(400, 500))
GROWTH = 40.0
"""MiB."""
_OLDER_ERROR = re.compile(rb'\{"error":"[^"\\]*(\\.[^"\\]*)*"\}')

_WORDS: Sequence[bytes] = (
    *(b"NaN", b"-Infinity", b"1e999", b"1" * 400, b"-0", b"null", b"true", b"[]", b"{}", b'""', b"[" * 200),
    *(b"\\u0000", b"\\ud800", b"\xff\xfe", b"\xc0\x80", b"\0", b"\r\n", b"\r\n\r\n", b"%00", b"%", b"{0}"),
    *(b"Content-Length: 0\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    *(
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"Upgrade: websocket\r\n",
        b"HTTP/9.9",
        b"GET ",
    ),
    *(b"X-Request-ID: \x01\r\n", b"X-Request-Deadline: nan\r\n", b"X-Request-Deadline: -1\r\n"),
    *(b"Content-Type: text/plain\r\n", b"Content-Type: application/json; charset=utf-7\r\n"),
    *(
        b"/../",
        b"//",
        b"?a=b",
        b"/iris/predict",
        b"/jobs",
        b"/docs",
        b'"SepalLengthCm":',
        b"," * 50,
        b" " * 300,
    ),
)


def changed(sound: bytes, chance: random.Random) -> bytes:
    """The bytes with one to five changes."""
    data = bytearray(sound)
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        at, to = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        match chance.randrange(7):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
            case 1:
                data[at:at] = chance.randbytes(chance.randint(1, 8))
            case 2:
                del data[at : min(to, at + chance.randint(1, 30))]
            case 3:
                data[at:at] = data[at : min(to, at + chance.randint(1, 60))]
            case 4:
                data[at:at] = chance.choice(_WORDS)
            case 5:
                data[at : at + chance.randint(1, 12)] = chance.choice(_WORDS)
            case _ if data:
                data[min(at, len(data) - 1)] = chance.randrange(256)
    return bytes(data)


def requests(judge: Judge, how_many: int, chance: random.Random) -> Iterator[tuple[bool, bytes]]:
    """Changed requests; whether each is sound HTTP, of which only the body was changed."""
    for number in range(how_many):
        body = chance.choice(judge.bodies)
        if chance.random() < 0.2:
            body = b"[" + b",".join(chance.choices(judge.bodies, k=3)) + b"]"
        if number % 2:
            path = chance.choice((PATH, PATH.removesuffix("-proba")))
            yield True, post(path, changed(body, chance))
        else:
            yield False, changed(post(PATH, body), chance)


async def fuzzed(place: Place, form: Form) -> Result:
    """A hundred thousand requests."""
    judge = Judge(place.settings)
    server = model_server(place)
    front = gateway(place, server.url)
    stream = requests(judge, form.of(100_000, 3_000), random.Random(SEED))  # noqa: S311
    statuses: Counter[object] = Counter()
    faults: list[str] = []
    longest: list[float] = []

    async def one() -> None:
        for is_http, request in stream:
            reply = await ask(front.port, [request], _WAIT_FOR_JSON if is_http else _WAIT_FOR_HTTP)
            statuses[reply.status or reply.body.decode()] += 1
            if is_http:
                longest.append(reply.seconds)
            if fault := _fault(request, reply, is_http=is_http):
                faults.append(fault)

    async with running(server, front), watching(front) as watch:
        await asyncio.gather(*(one() for _ in range(_AT_ONCE)))
        first = next(looks[min(5, len(looks) - 1)].rss for looks in watch.seen.values())
        index = judge.draw()
        reply = await ask(front.port, [post(PATH, judge.bodies[index])], 5)
        alive = judge.verdict(index, reply.status, reply.headers, reply.body)
        grown = (watch.peak("gateway") - first) / MIB
    result = Result("fuzz")
    result.at_least("requests", sum(statuses.values()), form.of(100_000, 3_000))
    result.none("a 500, an exception's text, or no problem document", faults)
    result.none("traces of exceptions in the gateway's log", exceptions_in(front.log.read_text()))
    result.equal("a sound request afterwards", alive, "right")
    result.equal("the gateway is the same process", len(watch.seen), 1)
    result.at_most("RSS of the gateway grows by", grown, GROWTH, "MiB")
    result.measured = {
        "statuses": dict(statuses.most_common()),
        "p99 of sound HTTP, s": percentile(longest, 99),
    }
    return result


def _fault(request: bytes, reply: Reply, *, is_http: bool) -> str | None:
    if reply.status == 0:
        return f"sound HTTP: {reply.body.decode()}" if is_http else None
    if reply.status < 400:
        return None
    if is_of_the_protocol(reply):
        return "sound HTTP called invalid" if is_http else None
    if leak := LEAK.search(reply.body):
        return f"{reply.status} that tells of {leak[0][:40]!r}"
    if b" /iris/" not in request and _OLDER_ERROR.fullmatch(reply.body):
        return None  # its path has become that of an older service, whose errors look like that
    return fault_of_problem(reply.status, reply.headers, reply.body, _ANY)
