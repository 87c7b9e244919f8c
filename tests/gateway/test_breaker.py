"""The breaker: open after failures, half-open after a probe, closed after a call that went well."""

import asyncio

import pytest

from sepal.errors import ModelServerUnavailableError
from sepal.gateway.breaker import Breaker
from sepal.gateway.retries import RetryBudget


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


async def test_probes_become_rarer_up_to_one_a_second() -> None:
    server = Server()
    breaker = Breaker(server.probe, 1)
    breaker.failed()
    await asyncio.sleep(1.2)
    await breaker.close()
    pauses = [later - earlier for earlier, later in zip(server.probes, server.probes[1:], strict=False)]
    assert pauses
    assert all(0.07 < pause < 1.4 for pause in pauses)
    assert pauses[-1] > pauses[0]
    await Breaker(server.probe, 1).close()


def test_retries_are_a_part_of_all_calls() -> None:
    budget = RetryBudget(0.1)
    assert sum(budget.spend() for _ in range(100)) == 10
    for _ in range(1000):
        budget.earn()
    assert sum(budget.spend() for _ in range(100)) == 10
    none = RetryBudget(0)
    none.earn()
    assert not none.spend()
