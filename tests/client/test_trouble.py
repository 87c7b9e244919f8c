"""Services that refuse, break, hang or want credentials: over real connections."""

import asyncio
import ssl
import time
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from sepal.client import AsyncClient, Client, Retries
from sepal.errors import (
    AccessDeniedError,
    ConfigurationError,
    RequestRefusedError,
    ServiceAwayError,
    ServiceError,
    ServiceTooSlowError,
)
from tests.client.conftest import Either, good, hang, hang_up, problem, scripted, trickle
from tests.gateway.conftest import IRIS, FakeModelServer
from tests.waiting import LONG

QUICK = Retries(first_pause=0.01)


async def test_an_overload_that_passes_is_not_seen(make: type[Either]) -> None:
    async with scripted(problem(503), hang_up, problem(429), good) as service:
        answer = await make(service.url, retries=QUICK).predict("iris", IRIS)
        assert answer.output == "Iris-setosa"
        assert len(service.requests) == 4


async def test_an_overload_that_stays_is_told_with_the_services_words(
    make: type[Either], url: str, model_server: FakeModelServer
) -> None:
    async def busy(_: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    model_server.respond = busy
    with pytest.raises(ServiceAwayError, match=r"503 .*\(request ") as told:
        await make(url, timeout=LONG, retries=Retries(attempts=2, first_pause=0.01)).predict("iris", IRIS)
    assert told.value.problem is not None
    assert told.value.exit_code == 16


async def test_retry_after_is_waited_for(make: type[Either]) -> None:
    async with scripted(problem(503, **{"Retry-After": "1"}), good) as service:
        began = time.monotonic()
        await make(service.url, retries=QUICK).predict("iris", IRIS)
        assert time.monotonic() - began >= 1


@pytest.mark.parametrize("answer", [hang, trickle])
async def test_a_service_that_does_not_come_to_an_end_is_left_at_the_deadline(
    make: type[Either], answer: object
) -> None:
    async with scripted(answer) as service:
        began = time.monotonic()
        with pytest.raises(ServiceTooSlowError, match=r"no answer within 1 s"):
            await make(service.url).predict("iris", IRIS, timeout=1)
        assert 1 <= time.monotonic() - began < LONG
        assert 0 < float(service.requests[0][0].headers["X-Request-Deadline"]) <= 1


async def test_one_part_that_fails_ends_the_whole(make: type[Either]) -> None:
    async with scripted(problem(422)) as service:
        with pytest.raises(RequestRefusedError, match="Come back"):
            await make(service.url, batch_rows=1, concurrency=2).predict("iris", [IRIS] * 100)
        assert len(service.requests) < 100


async def test_an_async_call_that_is_given_up_leaves_nothing_behind() -> None:
    async with scripted(hang) as service, AsyncClient(service.url, batch_rows=1) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.predict("iris", [IRIS] * 10)
        assert [task for task in asyncio.all_tasks() if "answer" in repr(task)] == []


async def test_what_is_not_json_is_no_answer(make: type[Either]) -> None:
    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>")

    async with scripted(page) as service:
        with pytest.raises(ServiceError, match="answer can't be read"):
            await make(service.url).predict("iris", IRIS)


async def test_another_number_of_answers_than_of_rows_is_an_error(make: type[Either]) -> None:
    async def one(_: web.Request) -> web.StreamResponse:
        return web.json_response([{"output": 1, "model_name": "m_1"}])

    async with scripted(one) as service:
        with pytest.raises(ServiceError, match="gave 1 answers to 2 rows"):
            await make(service.url).predict("iris", [IRIS, IRIS])


async def test_what_a_later_release_adds_to_an_answer_is_left_alone(make: type[Either]) -> None:
    async def more(_: web.Request) -> web.StreamResponse:
        return web.json_response({"output": 1, "model_name": "m_1", "explanation": {}})

    async with scripted(more) as service:
        assert (await make(service.url).predict("iris", IRIS)).output == 1


async def test_a_redirection_is_not_followed_with_the_key(make: type[Either]) -> None:
    async def elsewhere(_: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect("http://127.0.0.1:9/")

    async with scripted(elsewhere) as service:
        with pytest.raises(ServiceError, match="307 Temporary Redirect"):
            await make(service.url, api_key="secret").predict("iris", IRIS)


async def test_credentials_and_trial_key_are_sent(make: type[Either]) -> None:
    tokens = iter(["t1", "t2"])
    async with scripted(good) as service:
        client = make(service.url, api_key="secret", token=lambda: next(tokens))
        await client.predict("iris", IRIS)
        await client.predict("iris", IRIS, trial_key="user-7")
        first, second = (request.headers for request, _ in service.requests)
    assert (first["X-API-Key"], first["Authorization"]) == ("secret", "Bearer t1")
    assert (second["Authorization"], second["X-Trial-Key"]) == ("Bearer t2", "user-7")
    assert "X-Trial-Key" not in first


async def test_a_refused_key_is_told_and_not_shown(make: type[Either]) -> None:
    async with scripted(problem(401)) as service:
        client = make(service.url, api_key="secret")
        with pytest.raises(AccessDeniedError) as told:
            await client.predict("iris", IRIS)
    assert told.value.exit_code == 17
    assert "secret" not in str(told.value) + repr(client.client._core.options)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def test_tls_with_an_authority_of_ones_own_and_a_clients_certificate(
    make: type[Either], authority: trustme.CA, tmp_path: Path
) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    ca_file, certificate, key = tmp_path / "ca.pem", tmp_path / "client.pem", tmp_path / "client.key"
    authority.cert_pem.write_to_path(ca_file)
    issued = authority.issue_cert("client@sepal.example")
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    async with scripted(good, ssl_context=server) as service:
        trusting = make(service.url, ca_file=ca_file, certificate=(certificate, key))
        assert (await trusting.predict("iris", IRIS)).output == "Iris-setosa"
        with pytest.raises(ServiceError, match="CERTIFICATE_VERIFY_FAILED") as told:
            await make(service.url).predict("iris", IRIS)
        assert type(told.value) is ServiceError  # which means: not tried again
        with pytest.raises(ServiceError):
            await make(service.url, ca_file=ca_file, retries=QUICK).predict("iris", IRIS)


def test_options_that_can_not_work_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'sepal\.example' is no service's URL"):
        Client("sepal.example")
    with pytest.raises(ConfigurationError, match="batch_rows is 0"):
        Client(batch_rows=0)
    with pytest.raises(ConfigurationError, match=r"nowhere\.pem can't be used for TLS"):
        Client(ca_file=tmp_path / "nowhere.pem")
