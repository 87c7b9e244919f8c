"""SIGTERM to either tier under load, again and again: what was accepted is answered, whole."""

import asyncio
import time
from dataclasses import dataclass, field

import aiohttp

from tests.faults.clients import Answers, load
from tests.faults.judge import Judge
from tests.faults.results import Form, Result
from tests.faults.tiers import Tier, cleaned_up, gateway, model_server
from tests.tiers import Place

DEADLINE = 5.0
GRACE = 0.5
CLIENTS = 64
DRAIN = 1.0
"""Seconds for which the gateway keeps its socket open: a balancer looks several times meanwhile."""
_LOOK = 0.05
"""Seconds between two looks of the balancer."""
_BEFORE = 0.5
"""Seconds of load before each SIGTERM."""


@dataclass
class _Round:
    """One SIGTERM: seconds from it until /readyz said no, and until the end."""

    code: int = -1
    said_no: float = 0.0
    ended: float = 0.0
    answers: Answers = field(default_factory=Answers)


async def stopped_under_load(place: Place, form: Form) -> Result:
    """The gateway as often as the model server."""
    judge = Judge(place.settings)
    server = model_server(place)
    front = gateway(place, server.url, drain_delay=DRAIN)
    rounds = form.of(30, 2)
    result = Result("sigterm")
    with cleaned_up(server, front):
        server.start()
        await server.ready()
        fronts = [await _stop_gateway(front, judge) for _ in range(rounds)]
        front.start()
        await front.ready()
        servers = await _stop_model_servers(server, front, judge, rounds)
    for name, found in (("gateway", fronts), ("model server", servers)):
        faults = [fault for one in found for fault in one.answers.faults()]
        result.none(f"{name}: requests lost, cut off or answered wrong", faults)
        result.equal(f"{name}: exit codes", sorted({one.code for one in found}), [0])
        longest = max(one.answers.longest() for one in found)
        result.at_most(f"{name}: longest answer", longest, DEADLINE + GRACE, "s")
        result.measured |= {
            f"{name}: SIGTERMs": len(found),
            f"{name}: requests": sum(len(one.answers.all) for one in found),
            f"{name}: right": sum(one.answers.right() for one in found),
            f"{name}: ended after at most, s": max(one.ended for one in found),
        }
    result.at_most("gateway: /readyz says no after", max(one.said_no for one in fronts), 0.2, "s")
    return result


async def _stop_gateway(front: Tier, judge: Judge) -> _Round:
    """One SIGTERM; the clients ask as long as a balancer sends them, which looks at /readyz."""
    front.start()
    await front.ready()
    one, sends = _Round(), True
    clients = asyncio.create_task(
        load(front.url, judge, lambda: not sends, clients=CLIENTS, pause=0.05, deadline=DEADLINE)
    )
    await asyncio.sleep(_BEFORE)
    front.terminate()
    signalled = time.monotonic()
    async with aiohttp.ClientSession() as session:
        while sends:
            sends = await _is_ready(session, front)
            one.said_no = time.monotonic() - signalled
            await asyncio.sleep(_LOOK if sends else 0)
    one.answers = await clients
    one.code = await front.ended()
    one.ended = time.monotonic() - signalled
    return one


async def _stop_model_servers(server: Tier, front: Tier, judge: Judge, rounds: int) -> list[_Round]:
    """SIGTERM after SIGTERM, each once it is back; the gateway is asked all the time."""
    found = []
    for _ in range(rounds):
        one, done = _Round(), asyncio.Event()
        clients = asyncio.create_task(
            load(front.url, judge, done.is_set, clients=CLIENTS, pause=0.05, deadline=DEADLINE)
        )
        await asyncio.sleep(_BEFORE)
        server.terminate()
        signalled = time.monotonic()
        one.code = await server.ended()
        one.ended = time.monotonic() - signalled
        server.start()
        await server.ready()
        await asyncio.sleep(_BEFORE)
        done.set()
        one.answers = await clients
        found.append(one)
    return found


async def _is_ready(session: aiohttp.ClientSession, front: Tier) -> bool:
    try:
        async with session.get(front.url + "/readyz", headers={"Connection": "close"}) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
