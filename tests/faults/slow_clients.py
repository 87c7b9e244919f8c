"""Hundreds of slow clients and thousands of idle ones: the others notice nothing."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.faults.clients import percentile
from tests.faults.generator import Generator, Tally
from tests.faults.judge import Judge
from tests.faults.results import Form, Result
from tests.faults.tiers import Tier, gateway, model_server, running
from tests.faults.watch import MIB, watching
from tests.tiers import Place

SLOW, IDLE = 500, 2000
RATE = 300.0
"""Requests a second of the others. Both tiers carry that with ease: what is looked for is waiting."""
TIMES = 2.0


async def crowded(place: Place, form: Form) -> Result:
    """The others alone, then beside the crowd, then alone again."""
    judge = Judge(place.settings)
    server = model_server(place)
    front = gateway(place, server.url)
    seconds = form.lasts(20, 2)
    async with running(server, front), watching(front) as watch:
        generator = Generator(front.port, judge)
        await generator.open(RATE, 1)
        before = await generator.open(RATE, seconds)
        rss = watch.peak("gateway")
        async with _crowd(front):
            beside = await generator.open(RATE, 2 * seconds)
            watch.look([front])
        after = await generator.open(RATE, seconds)
        await generator.close()
    fds = max(look.fds for looks in watch.seen.values() for look in looks)
    normal = max(_p99(before), _p99(after)) if form.short else _p99(before)
    result = Result("slow-clients")
    faults = before.faults + beside.faults + after.faults
    result.none("others neither answered right nor by a clean 5xx", faults.elements())
    result.equal("others refused", len(beside.refused), 0)
    result.at_most("p99 of others, of the normal", _p99(beside) / normal, form.of(TIMES, 10.0), "×")
    result.measured = {
        "p50 before, ms": 1000 * percentile(list(before.right), 50),
        "p50 beside, ms": 1000 * percentile(list(beside.right), 50),
        "p99 before, ms": 1000 * _p99(before),
        "p99 beside, ms": 1000 * _p99(beside),
        "p99 after, ms": 1000 * _p99(after),
        "most descriptors of the gateway": fds,
        "gateway grew by, MiB": (watch.peak("gateway") - rss) / MIB,
    }
    return result


def _p99(tally: Tally) -> float:
    return percentile(list(tally.right), 99)


@asynccontextmanager
async def _crowd(front: Tier) -> AsyncIterator[None]:
    """From when all have connected to the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.crowd", str(front.port), str(SLOW), str(IDLE)),
        env=front.environment,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        assert line == b"there\n"
        yield
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
