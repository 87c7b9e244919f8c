"""Two gateways, each a process of its own, on one Redis: a key's limit holds for both together."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from sepal.access.callers import Scope
from sepal.access.keys import KeyFile
from tests.gateway.conftest import IRIS, FakeModelServer
from tests.ports import free_port
from tests.redis_server import redis
from tests.waiting import LONG

RATE, SECONDS, CLIENTS = 40, 6, 8


async def test_two_gateways_on_one_redis_hold_one_limit_within_five_per_cent(
    model_server: FakeModelServer, tmp_path: Path
) -> None:
    redis_port, ports = free_port(), (free_port(), free_port())
    _, key = KeyFile(tmp_path / "keys.json").create("shop", (Scope.predict,), f"{RATE}/s")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SEPAL_")},
        "SEPAL_ENV": "production",
        "SEPAL_DATA_DIR": str(tmp_path),
        "SEPAL_MODEL_SERVER_URL": model_server.url,
        "SEPAL_LIMITS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "SEPAL_LIMITS_TIMEOUT": "5",
    }
    gateways = ({**environment, "SEPAL_GATEWAY_PORT": str(port)} for port in ports)
    let_in: list[float] = []
    answers: Counter[tuple[int, int]] = Counter()
    with redis(tmp_path, redis_port):
        processes = [
            _start([sys.executable, "-m", "sepal.gateway"], each, tmp_path / "log") for each in gateways
        ]
        try:
            async with aiohttp.ClientSession(headers={"X-API-Key": key}) as session:
                for port in ports:
                    await _until_alive(session, port)
                begun = time.monotonic()
                async with asyncio.TaskGroup() as tasks:
                    for port in ports * CLIENTS:
                        tasks.create_task(_press(session, port, begun + SECONDS + 2, let_in, answers))
        finally:
            codes = [_end(process) for process in processes]
    steady = sum(1 for at in let_in if begun + 1.5 <= at < begun + 1.5 + SECONDS)
    assert abs(steady - RATE * SECONDS) <= 0.05 * RATE * SECONDS, answers
    assert len(let_in) <= 1.05 * (RATE * (SECONDS + 2) + RATE), "and the first burst is one, not two"
    assert {status for _, status in answers} == {200, 429}
    assert all(answers[port, 200] > 0.2 * len(let_in) for port in ports), answers
    asked = sum(answers.values())
    assert asked > 1.5 * RATE * (SECONDS + 2), "or the limit was never met"
    assert codes == [0, 0]


@pytest.mark.parametrize(("trusted", "last"), [("127.0.0.0/8", 200), ("", 429)])
async def test_an_address_that_a_proxy_forwards_counts_if_the_proxy_is_trusted(
    model_server: FakeModelServer, tmp_path: Path, trusted: str, last: int
) -> None:
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SEPAL_")},
        "SEPAL_DATA_DIR": str(tmp_path),
        "SEPAL_MODEL_SERVER_URL": model_server.url,
        "SEPAL_GATEWAY_PORT": str(port),
        "SEPAL_LIMITS": "on",
        "SEPAL_ADDRESS_RATE": "2/h",
        "SEPAL_TRUSTED_PROXIES": trusted,
        "SEPAL_GATEWAY_HOST": "0.0.0.0",  # noqa: S104 (so that it warns)
    }
    log = tmp_path / "log"
    process = _start([sys.executable, "-m", "sepal.gateway"], environment, log)
    try:
        async with aiohttp.ClientSession() as session:
            await _until_alive(session, port)
            for client, status in (("192.0.2.1", 200), ("192.0.2.1", 200), ("192.0.2.2", last)):
                forwarded = {"X-Forwarded-For": f"203.0.113.9, {client}"}
                async with session.get(f"http://127.0.0.1:{port}/", headers=forwarded) as response:
                    assert response.status == status
                    assert "Server" not in response.headers
    finally:
        assert _end(process) == 0
    assert f"Everybody who reaches 0.0.0.0:{port} may call" in log.read_text()


def _start(command: list[str], environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=file)


def _end(process: "subprocess.Popen[bytes]") -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(LONG)


async def _press(
    session: aiohttp.ClientSession,
    port: int,
    until: float,
    let_in: list[float],
    answers: Counter[tuple[int, int]],
) -> None:
    """One client that asks again at once, as the limit does not want it."""
    while time.monotonic() < until:
        async with session.post(f"http://127.0.0.1:{port}/iris/predict", json=IRIS) as response:
            await response.read()
        answers[port, response.status] += 1
        if response.status == 200:
            let_in.append(time.monotonic())
        else:
            await asyncio.sleep(0.01)


async def _until_alive(session: aiohttp.ClientSession, port: int) -> None:
    until = time.monotonic() + LONG
    while time.monotonic() < until:
        try:
            async with session.get(f"http://127.0.0.1:{port}/livez") as response:
                if response.status == 200:
                    return
        except aiohttp.ClientError:
            await asyncio.sleep(0.05)
    pytest.fail("a gateway does not start")
