"""The breaker: open after failures, half-open after a probe, closed after a call that went well."""

import asyncio
from itertools import pairwise

import pytest

from sepal.errors import ModelServerUnavailableError
from sepal.gateway.breaker import Breaker
from sepal.gateway.retries import RetryBudget
from tests.virtual_time import in_virtual_time


class Server:
    """Answers probes, or not."""

    def __init__(self) -> None:
        self.alive = False
        self.probes: list[float] = []

    async def probe(self) -> None:
        self.probes.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        if not self.alive:
            raise ModelServerUnavailableError("away")


async def settled(breaker: Breaker) -> None:
    async with asyncio.timeout(3):
        while breaker.state == "open":  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@in_virtual_time()
async def test_a_failed_connection_opens_it_and_an_answered_probe_closes_it() -> None:
    server = Server()
    breaker = Breaker(server.probe, 3)
    breaker.trip()
    assert (breaker.state, breaker.opened) == ("open", 1)
    breaker.trip()
    with pytest.raises(ModelServerUnavailableError):
        breaker.admit()
    await asyncio.sleep(0.05)
    server.alive = True
    await settled(breaker)
    assert (breaker.state, breaker.opened) == ("closed", 1)
    breaker.admit()


@in_virtual_time()
async def test_failures_in_a_row_open_it_and_then_one_call_at_a_time_may_try() -> None:
    server = Server()
    server.alive = True
    breaker = Breaker(server.probe, 3)
    for _ in range(2):
        breaker.failed()
    breaker.succeeded()
    for _ in range(2):
        breaker.failed()
    assert breaker.state == "closed"
    breaker.failed()
    await settled(breaker)
    assert breaker.state == "half-open"
    breaker.check()
    breaker.admit()
    with pytest.raises(ModelServerUnavailableError):
        breaker.admit()
    breaker.undecided()
    breaker.admit()
    breaker.failed()
    assert (breaker.state, breaker.opened) == ("open", 2)
    await settled(breaker)
    breaker.admit()
    breaker.succeeded()
    assert breaker.state == "closed"


@in_virtual_time()
async def test_probes_become_rarer_up_to_one_a_second() -> None:
    server = Server()
    breaker = Breaker(server.probe, 1)
    breaker.failed()
    await asyncio.sleep(60)
    await breaker.close()
    pauses = [later - earlier for earlier, later in pairwise(server.probes)]
    for number, pause in enumerate(pauses):
        exact = min(0.1 * 2**number, 1.0)
        assert 0.8 * exact <= pause + 1e-9
        assert pause - 1e-9 <= 1.2 * exact
    assert len(set(pauses[4:])) > 10, "not all gateways ask at one time"
    assert 50 < len(pauses) < 76
    await Breaker(server.probe, 1).close()


@in_virtual_time()
async def test_a_probe_that_breaks_in_any_way_is_told_once_and_the_next_one_follows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, breaks = Server(), iter([RecursionError("too deep"), KeyError("version"), ValueError("none")])
    server.alive = True

    async def probe() -> None:
        await server.probe()
        for error in breaks:
            raise error

    breaker = Breaker(probe, 1)
    breaker.trip()
    await settled(breaker)
    assert len(server.probes) == 4
    assert breaker.state == "closed"
    errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert errors == ["asking whether the model server is back has failed"]


def test_retries_are_a_part_of_all_calls() -> None:
    budget = RetryBudget(0.1)
    assert sum(budget.spend() for _ in range(100)) == 10
    for _ in range(1000):
        budget.earn()
    assert sum(budget.spend() for _ in range(100)) == 10
    none = RetryBudget(0)
    none.earn()
    assert not none.spend()
