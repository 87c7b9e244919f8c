"""What clients notice when the model server dies, stops, is slow, talks nonsense, breaks off, or moves."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from tests.faults.clients import Answers, load, percentile
from tests.faults.judge import PROBLEM, RIGHT, Judge
from tests.faults.proxy import Fault, FaultProxy, proxy_to
from tests.faults.results import Form, Result
from tests.faults.tiers import Tier, elsewhere, gateway, model_server, running
from tests.faults.watch import MIB, watching
from tests.tiers import Place

DEADLINE = 5.0
"""Seconds that a client waits, which is what the gateway does by itself too."""
RECOVERED = 3.0
"""Seconds after the model server is back until every request is answered right again."""
GRACE = 0.5
GROWTH = 16.0
"""MiB by which the gateway may have grown: so much an allocator keeps of a wave of errors."""
CLIENTS = 64


@dataclass
class Pair:
    """A model server, and two gateways: one calls it straight, the other through the proxy."""

    server: Tier
    straight: Tier
    proxied: Tier
    proxy: FaultProxy
    judge: Judge


@asynccontextmanager
async def a_pair(place: Place) -> AsyncIterator[Pair]:
    """All of it from ready to the end."""
    judge = Judge(place.settings)
    server = model_server(place)
    async with proxy_to(server.port) as proxy:
        straight, proxied = gateway(place, server.url), gateway(place, proxy.url)
        async with running(server, straight, proxied):
            pair = Pair(server, straight, proxied, proxy, judge)
            try:
                yield pair
            finally:
                pair.server.clean_up()  # which may be another one by now


Happening = Callable[[Pair, Form], Awaitable[tuple[float, float]]]
"""Makes something happen, and undoes it: when the server was gone, and when it was back."""


async def _killed(pair: Pair, form: Form) -> tuple[float, float]:
    gone = time.monotonic()
    await pair.server.kill()
    await asyncio.sleep(form.of(5.0, 0.5))
    pair.server.start()
    return gone, await pair.server.ready()


async def _stopped(pair: Pair, form: Form) -> tuple[float, float]:
    gone = time.monotonic()
    pair.server.send(signal.SIGSTOP)
    await asyncio.sleep(form.of(10.0, 2.0))
    pair.server.send(signal.SIGCONT)
    return gone, time.monotonic()


async def _misbehaving(fault: Fault, pair: Pair, form: Form) -> tuple[float, float]:
    gone, pair.proxy.fault = time.monotonic(), fault
    await asyncio.sleep(form.of(30.0, 2.5))
    pair.proxy.fault = Fault.NONE
    return gone, time.monotonic()


async def _moved(pair: Pair, form: Form) -> tuple[float, float]:
    """Killed, and started on a new port, to which the service's address leads from then on.

    The gateway knows one address. In a cluster it is that of a service, whose rules are changed when
    a pod has gone; here it is the proxy's.
    """
    gone, old = time.monotonic(), pair.server
    await old.kill()
    pair.server = elsewhere(old)
    await asyncio.sleep(form.of(5.0, 0.5))
    pair.server.start()
    await pair.server.ready()
    pair.proxy.target = pair.server.port
    return gone, time.monotonic()


async def try_fault(name: str, pair: Pair, form: Form) -> Result:
    """64 clients before, during and after a fault."""
    happen, proxied = SCENARIOS[name]
    asked = pair.proxied if proxied else pair.straight
    begin, after = form.of(5.0, 0.7), form.of(RECOVERED + 5, 1.5)
    end = time.monotonic() + form.lasts(60, 5)
    done = asyncio.Event()

    def stop() -> bool:
        return done.is_set() and time.monotonic() >= end

    async with watching(asked) as watch:
        clients = asyncio.create_task(
            load(asked.url, pair.judge, stop, clients=CLIENTS, deadline=DEADLINE, grace=2 * GRACE)
        )
        await asyncio.sleep(begin)
        before = watch.between(0, time.monotonic())
        gone, back = await happen(pair, form)
        await asyncio.sleep(after)
        done.set()
        answers = await clients
    # The wave of errors is over by now, and what is left of it is what has leaked.
    return _judged(name, answers, gone, back, before, watch.between(back + after / 2, float("inf")))


Held = Mapping[tuple[str, int], tuple[float, float]]


def _judged(name: str, answers: Answers, gone: float, back: float, before: Held, after: Held) -> Result:
    result = Result(name)
    result.none("neither right nor a clean 5xx", answers.faults())
    end = max(answer.sent for answer in answers.all)
    result.none(
        "not right at the end",
        (a.verdict for a in answers.all if end - a.sent < 0.5 and a.verdict != RIGHT),
    )
    result.at_most("longest answer", answers.longest(), DEADLINE + GRACE, "s")
    result.at_most("recovered after the server is back", answers.recovery(back), RECOVERED, "s")
    result.equal("the gateway is the same process", sorted(after), sorted(before))
    grown = max((after[one][0] - before[one][0] for one in before if one in after), default=0.0)
    result.at_most("RSS of the gateway grows by", grown / MIB, GROWTH, "MiB")
    meanwhile = [answer for answer in answers.all if gone <= answer.sent < back]
    result.measured = {
        "requests": len(answers.all),
        "right": answers.right(),
        "problems": sum(answer.verdict == PROBLEM for answer in answers.all),
        "right during the fault": sum(answer.verdict == RIGHT for answer in meanwhile),
        "p99 during the fault, s": percentile([answer.seconds for answer in meanwhile], 99),
        "fault, s": back - gone,
        "recovery, s": answers.recovery(back),
    }
    return result


SCENARIOS: dict[str, tuple[Happening, bool]] = {
    "killed": (_killed, False),
    "stopped": (_stopped, False),
    "slow": (partial(_misbehaving, Fault.SLOW), True),
    "garbage": (partial(_misbehaving, Fault.GARBAGE), True),
    "reset": (partial(_misbehaving, Fault.RESET), True),
    "moved": (_moved, True),
}
"""What may happen, and whether the gateway behind the proxy meets it; the last one leaves a new server."""


async def one(name: str, place: Place, form: Form) -> Result:
    """One of them with a pair of its own."""
    async with a_pair(place) as pair:
        return await try_fault(name, pair, form)
