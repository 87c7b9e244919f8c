"""How often each may call: by key, by address, by failures; in the process, and in Redis."""

import asyncio
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sepal.access.callers import Scope
from sepal.access.keys import KeyFile
from sepal.access.rates import Rate
from sepal.errors import AccessUnavailableError, ConfigurationError, RateLimitedError
from sepal.gateway.limits import Limits
from sepal.settings import Settings
from tests.gateway.conftest import IRIS, FakeModelServer, call, gateway, settings_for
from tests.ports import free_port
from tests.redis_server import redis
from tests.waiting import LONG, comes, comes_async


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def limited(model_server: FakeModelServer, folder: Path, **changes: Any) -> Settings:  # noqa: ANN401
    values = {"data_dir": folder, "access": "on", "failure_rate": "none"}
    return settings_for(model_server, **{**values, **changes})


async def predict(client: aiohttp.ClientSession, key: str | None = None) -> tuple[int, Any, Any]:
    headers = {"X-API-Key": key} if key else {}
    return await call(client, "POST", "/iris/predict", json=IRIS, headers=headers)


async def statuses(client: aiohttp.ClientSession, count: int, key: str | None = None) -> list[int]:
    return [(await predict(client, key))[0] for _ in range(count)]


@pytest.fixture
def port() -> int:
    return free_port()


@dataclass
class Clock:
    """Both of the module `time`'s clocks, which stand still until a test moves them on."""

    now: float = 1_000_000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def on_redis(port: int, **changes: Any) -> Settings:  # noqa: ANN401
    """Settings with so much time for Redis that a pause of this machine is no failure."""
    return Settings(**{"limits_url": f"redis://127.0.0.1:{port}/0", "limits_timeout": 5, **changes})


@pytest.mark.parametrize("fast_route", ["on", "off"])
async def test_a_key_may_call_as_often_as_its_rate_says_and_others_are_not_held_up(
    model_server: FakeModelServer, tmp_path: Path, keys: KeyFile, fast_route: str
) -> None:
    _, slow = keys.create("slow", (Scope.predict,), "5/h")
    _, other = keys.create("other", (Scope.predict,))
    async with gateway(limited(model_server, tmp_path, fast_route=fast_route)) as client:
        assert await statuses(client, 7, slow) == [200] * 5 + [429] * 2
        assert await statuses(client, 20, other) == [200] * 20
        status, body, headers = await predict(client, slow)
        assert (status, body["title"]) == (429, "Too many requests")
        assert body["detail"].startswith("Too many requests: the limit is 5 requests in 3,600 seconds.")
        assert 1 <= int(headers["Retry-After"]) <= 3600
        assert headers["RateLimit-Policy"] == '"key";q=5;w=3600'
        assert re.fullmatch(rf'"key";r=0;t={headers["Retry-After"]}', headers["RateLimit"])
    assert model_server.calls == 25


async def test_a_key_is_let_in_again_after_the_time_that_it_was_told(
    model_server: FakeModelServer, tmp_path: Path, keys: KeyFile
) -> None:
    _, key = keys.create("shop", (Scope.predict,), "3/s")
    async with gateway(limited(model_server, tmp_path)) as client:
        while (answer := await predict(client, key))[0] == 200:
            pass
        await asyncio.sleep(int(answer[2]["Retry-After"]))  # as a client is told to
        assert (await predict(client, key))[0] == 200


async def test_the_default_rate_is_for_keys_that_have_none_of_their_own(
    model_server: FakeModelServer, tmp_path: Path, keys: KeyFile
) -> None:
    _, plain = keys.create("plain", (Scope.predict,))
    _, free = keys.create("free", (Scope.predict,), "none")
    async with gateway(limited(model_server, tmp_path, rate="6/h", burst=2)) as client:
        assert await statuses(client, 4, plain) == [200, 200, 429, 429]
        assert await statuses(client, 20, free) == [200] * 20


async def test_who_sends_no_good_key_again_and_again_is_told_to_wait_and_who_has_one_is_not(
    model_server: FakeModelServer, tmp_path: Path, keys: KeyFile
) -> None:
    _, good = keys.create("shop", (Scope.predict,))
    wrong = f"sepal_{'0' * 12}_{'0' * 64}"
    async with gateway(limited(model_server, tmp_path, failure_rate="4/h")) as client:
        assert await statuses(client, 2) == [401] * 2
        assert await statuses(client, 4, wrong) == [401, 401, 429, 429]
        assert (await predict(client, wrong))[2]["RateLimit-Policy"] == '"failed";q=4;w=3600'
        assert await statuses(client, 3, good) == [200] * 3


async def test_strangers_are_counted_by_address_and_probes_are_not(
    model_server: FakeModelServer, tmp_path: Path, keys: KeyFile
) -> None:
    keys.create("shop", (Scope.predict,))
    async with gateway(limited(model_server, tmp_path, address_rate="3/h")) as client:
        assert [(await call(client, "GET", "/"))[0] for _ in range(5)] == [200] * 3 + [429] * 2
        for path in ("/livez", "/readyz", "/healthz"):
            assert [(await call(client, "GET", path))[0] for _ in range(5)] == [200] * 5


async def test_without_keys_every_address_can_be_limited_all_the_same(
    model_server: FakeModelServer, tmp_path: Path
) -> None:
    settings = limited(model_server, tmp_path, access="off", limits="on", address_rate="3/h")
    async with gateway(settings) as client:
        assert await statuses(client, 5) == [200] * 3 + [429] * 2
        assert (await call(client, "GET", "/readyz"))[0] == 200


async def test_limits_can_be_off_while_access_is_on(
    model_server: FakeModelServer, tmp_path: Path, keys: KeyFile
) -> None:
    _, key = keys.create("shop", (Scope.predict,), "2/h")
    async with gateway(limited(model_server, tmp_path, limits="off")) as client:
        assert await statuses(client, 10, key) == [200] * 10
        responses = (await call(client, "GET", "/openapi.json"))[1]["paths"]["/models"]["get"]["responses"]
    assert {"401", "403"} <= set(responses)
    assert "429" not in responses


async def test_the_rate_holds_over_time_and_no_burst_is_larger() -> None:
    limits, rate = Limits(Settings()), Rate(50, 1)
    let_in: list[float] = []
    begun = time.monotonic()
    while (now := time.monotonic()) - begun < 3:
        try:
            await limits.hit(rate, "key", "k")
            let_in.append(now)
        except RateLimitedError:
            await asyncio.sleep(0.001)
    assert 0.95 * 150 <= len(let_in) <= 1.05 * (150 + 50)
    for stretch in (0.2, 0.5, 1, 2):
        most = max(sum(1 for at in let_in if first <= at < first + stretch) for first in let_in)
        assert most <= 50 + 1.05 * 50 * stretch


async def test_a_flood_of_addresses_takes_bounded_memory_and_leaves_keys_and_known_ones_alone() -> None:
    limits, rate = Limits(Settings()), Rate(5, 86_400)
    for _ in range(5):
        await limits.hit(rate, "address", "198.51.100.1")
    for number in range(30_000):
        try:
            await limits.hit(rate, "address", f"192.0.{number >> 8}.{number & 255}")
        except RateLimitedError as error:
            refused = error
    assert refused.headers["RateLimit-Policy"] == '"address";q=5;w=86400'
    assert len(limits._counts.storage) <= 20_001
    for _ in range(5):
        await limits.hit(rate, "key", "k")
    for _ in range(4):
        await limits.hit(rate, "address", "192.0.0.1")  # it has called once
    for spent in ("198.51.100.1", "192.0.0.1"):
        with pytest.raises(RateLimitedError):
            await limits.hit(rate, "address", spent)


async def test_room_is_made_for_new_addresses_once_the_time_of_others_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr("sepal.gateway.counts.time", clock)
    monkeypatch.setattr("limits.storage.memory.time", clock)
    limits, rate = Limits(Settings()), Rate(5, 60)
    for number in range(20_010):
        with suppress(RateLimitedError):
            await limits.hit(rate, "address", str(number))
    assert len(limits._counts.storage) == 20_001  # ten of them share one
    clock.now += 3 * 60
    for _ in range(5):
        await limits.hit(rate, "address", "new")
    assert len(limits._counts.storage) == 1


async def test_counts_of_keys_and_tokens_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("sepal.gateway.counts.time", clock)
    monkeypatch.setattr("limits.storage.memory.time", clock)
    limits, rate = Limits(Settings()), Rate(5, 60)
    for number in range(100_000):
        clock.now += 0.1
        await limits.hit(rate, "key", str(number))
        assert len(limits._counts.storage) <= 20_001


def test_counting_starts_no_thread() -> None:
    """A storage of `limits` would look at every count a hundred times a second."""
    limits, rate = Limits(Settings()), Rate(5, 60)
    assert comes(lambda: not limits._counts.timer.is_alive())
    before = limits._counts.timer
    asyncio.run(limits.hit(rate, "key", "k"))
    assert limits._counts.timer is before


async def test_checking_counts_nothing_and_refuses_once_there_is_nothing_left() -> None:
    limits, rate = Limits(Settings()), Rate(2, 3600)
    for _ in range(5):
        await limits.check(rate, "failed", "a")
    await limits.check(None, "failed", "a")
    await limits.hit(None, "failed", "a")
    for _ in range(2):
        await limits.hit(rate, "failed", "a")
    with pytest.raises(RateLimitedError):
        await limits.check(rate, "failed", "a")


async def test_in_redis_counts_are_shared(tmp_path: Path, port: int) -> None:
    settings, rate = on_redis(port), Rate(4, 3600)
    with redis(tmp_path, port):
        one, two = Limits(settings), Limits(settings)
        for limits in (one, two, one, two):
            await limits.check(rate, "key", "k")
            await limits.hit(rate, "key", "k")
        for limits in (one, two):
            with pytest.raises(RateLimitedError) as refused:
                await limits.hit(rate, "key", "k")
            assert refused.value.headers["RateLimit-Policy"] == '"key";q=4;w=3600'
            with pytest.raises(RateLimitedError):
                await limits.check(rate, "key", "k")
            await limits.hit(rate, "key", "another")
            assert limits.failures == 0
            await limits.close()


@pytest.mark.parametrize("how", ["killed", "stopped", "never there"])
async def test_open_without_redis_each_process_counts_its_own_and_nobody_waits_long(
    tmp_path: Path, port: int, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, rate = Limits(on_redis(port, limits_timeout=3)), Rate(4, 3600)
    monkeypatch.setattr("sepal.gateway.limits.time", Clock(time.time()))
    with redis(tmp_path, port) as server:
        if how != "never there":
            await limits.hit(rate, "key", "k")
        if how == "stopped":
            server.send_signal(signal.SIGSTOP)
        else:
            server.kill()
            server.wait()
        begun = time.monotonic()
        for _ in range(4):
            await limits.hit(rate, "key", "k")
        with pytest.raises(RateLimitedError):
            await limits.hit(rate, "key", "k")
        await limits.check(rate, "key", "another")
        assert time.monotonic() - begun < 2 * 3, "it was asked once"
        assert limits.failures == 1, "once it has failed it is left alone"
    await limits.close()


async def test_that_redis_is_away_is_logged_once_and_that_it_is_back_too(
    tmp_path: Path, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    limits, rate = Limits(on_redis(port)), Rate(1_000_000, 60)

    async def ask_until(enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(LONG):
            while not enough():
                await limits.hit(rate, "key", "k")
                await limits.check(rate, "key", "k")
                await asyncio.sleep(0.05)

    await ask_until(lambda: limits.failures >= 2)
    failures = limits.failures
    assert [record.message[:21] for record in caplog.records] == ["Redis does not answer"]
    with redis(tmp_path, port):
        await ask_until(lambda: len(caplog.records) == 2)
    assert caplog.records[1].message == "Redis answers again."
    await limits.close()
    assert limits.failures == failures


async def test_closed_without_redis_requests_get_503_until_it_is_back(
    model_server: FakeModelServer, tmp_path: Path, keys: KeyFile, port: int
) -> None:
    _, key = keys.create("shop", (Scope.predict,), "1000/s")
    settings = limited(
        model_server,
        tmp_path,
        limits_url=f"redis://127.0.0.1:{port}/0",
        limits_failure="closed",
        limits_timeout=5,
    )

    async def lets_in() -> bool:
        return (await predict(client, key))[0] == 200

    async with gateway(settings) as client:
        with redis(tmp_path, port):
            assert await lets_in()
        status, body, headers = await predict(client, key)
        assert (status, body["title"]) == (503, "Access can't be checked")
        assert headers["Retry-After"] == "1"
        assert (await call(client, "GET", "/livez"))[0] == 200
        with redis(tmp_path, port):
            assert await comes_async(lets_in)


async def test_each_question_that_redis_does_not_answer_is_counted_for_who_watches(
    model_server: FakeModelServer, tmp_path: Path, port: int
) -> None:
    settings = limited(
        model_server,
        tmp_path,
        access="off",
        limits="on",
        address_rate="1000/s",
        limits_url=f"redis://127.0.0.1:{port}/0",
        limits_timeout=5,
    )

    async def unanswered() -> float:
        async with client.get("/metrics") as response:
            found = re.search(r"^sepal_limits_unanswered_total (.*)$", await response.text(), re.MULTILINE)
        assert found is not None
        return float(found[1])

    async with gateway(settings) as client:
        with redis(tmp_path, port):
            assert await statuses(client, 3) == [200] * 3
            assert await unanswered() == 0
        assert await statuses(client, 3) == [200] * 3
        first = await unanswered()
        assert first >= 1

        async def rises() -> bool:  # since it is asked again each second
            return await unanswered() > first

        assert await comes_async(rises)


async def test_closed_a_check_of_failures_is_refused_too(port: int) -> None:
    limits = Limits(Settings(limits_url=f"redis://127.0.0.1:{port}/0", limits_failure="closed"))
    with pytest.raises(AccessUnavailableError):
        await limits.check(Rate(1, 1), "failed", "a")
    await limits.close()


def test_an_option_that_redis_does_not_have_is_told_at_the_start_without_the_password() -> None:
    with pytest.raises(ConfigurationError, match=r"SEPAL_LIMITS_URL can't be used: .*colour") as told:
        Limits(Settings(limits_url="redis://:geheim@127.0.0.1:6379/0?colour=red"))
    assert "geheim" not in str(told.value)
