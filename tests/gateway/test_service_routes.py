"""What the gateway says of itself."""

import asyncio

import aiohttp
import pytest

from tests.gateway.conftest import FakeModelServer, call, gateway, settings_for


async def test_the_root_says_to_visit_the_documentation(client: aiohttp.ClientSession) -> None:
    status, body, _ = await call(client, "GET", "/")
    assert status == 200
    assert "/docs" in body["message"]


async def test_a_path_that_is_not_there_says_where_to_look(client: aiohttp.ClientSession) -> None:
    status, body, _ = await call(client, "GET", "/nowhere")
    assert status == 404
    assert "/docs" in body["detail"]


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
async def test_ready_once_every_model_has_answered_a_row(
    client: aiohttp.ClientSession, model_server: FakeModelServer, path: str
) -> None:
    status, body, _ = await call(client, "GET", path)
    assert status == 200
    assert body["status"] == "ready"
    assert body["models"]["iris"] == {"ready": True, "version": "fake_7", "reason": None}
    assert model_server.calls == len(model_server.contracts)


async def test_a_model_that_failed_to_load_is_named_with_its_reason(
    client: aiohttp.ClientSession, model_server: FakeModelServer
) -> None:
    model_server.status["iris"] = {"error": "iris:log_reg_1 is not the artefact that was registered"}
    status, body, _ = await call(client, "GET", "/readyz")
    assert (status, body["status"]) == (503, "not ready")
    assert body["models"]["iris"]["reason"] == "iris:log_reg_1 is not the artefact that was registered"
    assert body["models"]["ride_duration"]["ready"]


async def test_a_champion_that_could_not_be_taken_up_is_named_and_the_model_stays_ready(
    client: aiohttp.ClientSession, model_server: FakeModelServer
) -> None:
    refused = {"version": "fake_8", "reason": "iris:fake_8 is not the artefact that was registered"}
    model_server.status["iris"] = {"version": "fake_7", "refused": refused}
    status, body, _ = await call(client, "GET", "/readyz")
    assert status == 200
    assert body["models"]["iris"] == {
        "ready": True,
        "version": "fake_7",
        "reason": None,
        "refused": refused,
    }


async def test_a_model_that_the_model_server_does_not_serve_is_named(
    client: aiohttp.ClientSession, model_server: FakeModelServer
) -> None:
    del model_server.status["iris"]
    status, body, _ = await call(client, "GET", "/readyz")
    assert status == 503
    assert body["models"]["iris"]["reason"] == "The model server does not serve iris."


async def test_a_model_that_does_not_answer_its_example_is_not_ready(
    client: aiohttp.ClientSession, model_server: FakeModelServer
) -> None:
    async def refuse(_: object) -> aiohttp.web.StreamResponse:
        return aiohttp.web.Response(status=500)

    model_server.respond = refuse
    status, body, _ = await call(client, "GET", "/readyz")
    assert status == 503
    assert "could not score" in body["models"]["iris"]["reason"]


@pytest.mark.parametrize("status", [b"no JSON", b"[]", b'{"iris": 5}'])
async def test_a_status_that_is_nonsense_is_not_ready(
    client: aiohttp.ClientSession, model_server: FakeModelServer, status: bytes
) -> None:
    model_server.status = status
    code, body, _ = await call(client, "GET", "/readyz")
    assert code == 503
    assert "no valid answer" in body["models"]["iris"]["reason"]


async def test_the_process_is_alive_although_the_model_server_is_away() -> None:
    async with gateway(settings_for(FakeModelServer(url="http://127.0.0.1:9"))) as client:
        assert (await call(client, "GET", "/livez"))[0] == 200
        assert (await call(client, "GET", "/readyz"))[0] == 503


async def test_many_who_ask_at_once_cost_the_model_server_one_question(
    model_server: FakeModelServer,
) -> None:
    async with gateway(settings_for(model_server, ready_cache=60)) as client:
        await asyncio.gather(*(call(client, "GET", "/readyz") for _ in range(50)))
    assert model_server.calls == len(model_server.contracts)


async def test_the_models_are_described_from_their_contracts(client: aiohttp.ClientSession) -> None:
    _, body, _ = await call(client, "GET", "/models")
    iris, ride = body
    assert iris["features"][0] == {
        "name": "SepalLengthCm",
        "aliases": ["sepal length (cm)"],
        "kind": "number",
        "optional": False,
        "unit": "cm",
        "description": "Length of the sepal.",
    }
    assert iris["readiness"]["version"] == "fake_7"
    assert ride["target"] == {"quantity": "duration", "unit": "minutes"}


async def test_a_sound_request_id_is_kept_and_an_unsound_one_replaced(
    client: aiohttp.ClientSession,
) -> None:
    _, _, headers = await call(client, "GET", "/", headers={"X-Request-ID": "abc-123"})
    assert headers["X-Request-ID"] == "abc-123"
    for unsound in ("", "a b", "x" * 129, 'x"y'):
        _, _, headers = await call(client, "GET", "/", headers={"X-Request-ID": unsound})
        assert len(headers["X-Request-ID"]) == 32


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/healthz", "/models", "/docs", "/v2/health/ready"]
)
async def test_head_has_the_head_of_a_get_and_no_body(client: aiohttp.ClientSession, path: str) -> None:
    told = []
    for method in ("GET", "HEAD"):
        async with client.request(method, path) as response:
            told.append((response.status, response.headers["Content-Length"], await response.read()))
    assert told[1] == (*told[0][:2], b"")
    async with client.get("/metrics") as response:
        assert f'endpoint="{path}",method="HEAD",status_code="200"' in await response.text()


async def test_head_is_not_allowed_where_get_is_not(client: aiohttp.ClientSession) -> None:
    async with client.head("/iris/predict") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
