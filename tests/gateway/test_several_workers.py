"""What the workers of one gateway have in common."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import psutil

from sepal.access.callers import Scope
from sepal.access.keys import KeyFile
from tests.gateway.conftest import IRIS, FakeModelServer
from tests.gateway.processes import process
from tests.waiting import comes_async


async def test_two_seconds_after_a_key_was_revoked_no_worker_lets_it_in(
    model_server: FakeModelServer, tmp_path: Path
) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    key, secret = keys.create("shop", (Scope.predict,))
    settings = {"data_dir": tmp_path, "access": "on", "limits": "off", "gateway_workers": 2}
    async with process(model_server, **settings) as (gateway, url):
        workers = [
            child
            for child in psutil.Process(gateway.pid).children()
            if "spawn_main" in " ".join(child.cmdline())
        ]
        assert len(workers) == 2
        port = int(url.rpartition(":")[2])
        async with AsyncExitStack() as stack:
            clients: list[aiohttp.ClientSession] = []

            async def ask(client: aiohttp.ClientSession) -> int:
                async with client.post("/iris/predict", json=IRIS) as answer:
                    return answer.status

            async def each_has_some() -> bool:
                """After one more connection, which is kept."""
                session = aiohttp.ClientSession(url, headers={"X-API-Key": secret})
                clients.append(await stack.enter_async_context(session))
                assert await ask(clients[-1]) == 200
                return all(
                    any(
                        one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port
                        for one in worker.net_connections()
                    )
                    for worker in workers
                )

            assert await comes_async(each_has_some)
            keys.revoke(key.id)
            await asyncio.sleep(2)
            assert {await ask(client) for client in clients} == {401}
