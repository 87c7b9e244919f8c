"""A gateway as a process of its own, in front of the small honest model server."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.environment import clean
from tests.gateway.conftest import FakeModelServer
from tests.ports import free_port
from tests.waiting import LONG


@asynccontextmanager
async def process(
    model_server: FakeModelServer,
    *program: str,
    until_it_is: int = 200,
    stdout: int | None = None,
    **settings: object,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`python -m sepal.gateway`, or another program that runs it, once it is ready, and its URL."""
    port = free_port()
    environment = clean(gateway_port=port, model_server_url=model_server.url, **settings)
    started = await asyncio.create_subprocess_exec(
        sys.executable, *(program or ("-m", "sepal.gateway")), env=environment, stdout=stdout
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await until(f"{url}/readyz", until_it_is, LONG)
        yield started, url
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


async def status_of(url: str) -> int:
    """0 if nobody listens."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status
    except aiohttp.ClientConnectionError:
        return 0


async def until(url: str, status: int, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while await status_of(url) != status:  # noqa: ASYNC110 (nor then)
            await asyncio.sleep(0.02)
