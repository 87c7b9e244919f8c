"""Who may call: on every route, by key and by token, and what those who may not are told."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest

from sepal.access.callers import Scope
from sepal.access.keys import KeyFile
from sepal.gateway.access import _address, _credentials
from sepal.gateway.app import create_app
from sepal.settings import Settings
from tests.access.conftest import AUDIENCE, ISSUER, Clock, Issuer
from tests.gateway.conftest import IRIS, FakeModelServer, call, gateway, settings_for
from tests.waiting import comes_async

PROBES = {"/livez", "/readyz", "/healthz", "/health", "/ping", "/v2/health/live", "/v2/health/ready"}
PUBLIC = {"/", *PROBES}
BAD = {
    "no key": {},
    "no such key": {"X-API-Key": f"sepal_{'0' * 12}_{'0' * 64}"},
    "empty key": {"X-API-Key": ""},
    "long key": {"X-API-Key": "x" * 9000},
    "basic": {"Authorization": "Basic c2VwYWw6c2VwYWw="},
    "empty bearer": {"Authorization": "Bearer "},
    "nonsense bearer": {"Authorization": "Bearer a.b.c"},
    "long bearer": {"Authorization": "Bearer " + "x" * 9000},
}


@dataclass
class Door:
    """A gateway with access on, and whatever opens it."""

    client: aiohttp.ClientSession
    settings: Settings
    keys: KeyFile
    issuer: Issuer
    made: dict[frozenset[Scope], str]

    def key(self, *scopes: Scope) -> dict[str, str]:
        """The header of a key with these scopes, by default with predict alone."""
        return {"X-API-Key": self.made[frozenset(scopes or (Scope.predict,))]}

    def token(self, **claims: Any) -> dict[str, str]:  # noqa: ANN401
        return {"Authorization": f"Bearer {self.issuer.token(**claims)}"}

    async def predict(self, headers: Any, path: str = "/iris/predict", **more: Any) -> tuple[int, Any, Any]:  # noqa: ANN401
        return await call(self.client, "POST", path, **{"json": IRIS, **more}, headers=headers)


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.put_in(monkeypatch)


@cache
def made() -> tuple[bytes, dict[frozenset[Scope], str]]:
    """A key for each scope and one for all, as they are in the file and as they are sent.

    They are made once for all tests here, since each is flushed to the disk.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "keys.json"
        scopes = [*((scope,) for scope in Scope), tuple(Scope)]
        texts = {frozenset(one): KeyFile(path).create("test", one)[1] for one in scopes}
        return path.read_bytes(), texts


@asynccontextmanager
async def opened(
    model_server: FakeModelServer,
    folder: Path,
    issuer: Issuer,
    **changes: Any,  # noqa: ANN401
) -> AsyncIterator[Door]:
    file, (content, texts) = folder / "keys.json", made()
    file.touch(0o600)
    file.write_bytes(content)
    values = {
        "data_dir": folder,
        "env": "production",
        "token_issuer": ISSUER,
        "token_audience": (AUDIENCE,),
        "token_jwks": str(issuer.write(folder / "jwks.json")),
        "failure_rate": "none",
        "jobs_queue_url": f"sqlite:///{folder / 'jobs.sqlite'}",
    }
    settings = settings_for(model_server, **{**values, **changes})
    async with gateway(settings) as client:
        yield Door(client, settings, KeyFile(file), issuer, texts)


@pytest.fixture
async def door(model_server: FakeModelServer, tmp_path: Path, issuer: Issuer) -> AsyncIterator[Door]:
    async with opened(model_server, tmp_path, issuer) as door:
        yield door


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/iris/predict"),
        ("POST", "/iris/predict-proba"),
        ("POST", "/iris/predict/"),
        ("POST", "/nothing/predict"),
        ("GET", "/models"),
        ("GET", "/iris/jobs"),
        ("POST", "/iris/jobs"),
        ("GET", "/iris/jobs/1/output"),
        ("DELETE", "/iris/jobs/1"),
        ("PATCH", "/iris/jobs"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("GET", "/swagger/nothing.js"),
        ("POST", "/swagger/predict"),
        ("POST", "/docs/predict"),
    ],
)
async def test_without_a_good_key_or_token_there_is_nothing_to_be_had(
    door: Door, model_server: FakeModelServer, method: str, path: str
) -> None:
    for presented, headers in BAD.items():
        status, body, answered = await call(door.client, method, path, headers=headers, json=IRIS)
        assert (status, body["title"]) == (401, "Unauthorized"), presented
        asked_for = answered["WWW-Authenticate"]
        assert asked_for == 'ApiKey realm="sepal", Bearer realm="sepal"', presented
        assert model_server.calls == 0, presented


async def test_every_declared_route_is_open_to_all_by_intent_or_asks_for_a_scope(door: Door) -> None:
    document = create_app(door.settings).openapi()
    scopes: dict[str, set[str]] = {}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in PUBLIC:
                assert "security" not in operation
                continue
            assert [set(one) for one in operation["security"]] == [{"key"}, {"token"}]
            assert {"401", "403", "429"} <= set(operation["responses"])
            for one in operation["security"]:
                scopes.setdefault(path, set()).update(*one.values())
    for path, needed in scopes.items():
        assert needed == ({"bulk"} if "/jobs" in path else {"predict"}), path
    schemes = document["components"]["securitySchemes"]
    assert schemes.keys() == {"key", "token"}
    for scheme in schemes.values():
        assert scheme.pop("description")
    assert schemes["key"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert schemes["token"] == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v2", {"error"}),
        ("GET", "/v2/models/iris", {"error"}),
        ("POST", "/v2/models/iris/infer", {"error"}),
        ("POST", "/v2/models/iris/versions/fake_7/infer", {"error"}),
        ("POST", "/v2/repository/index", {"error"}),
        ("POST", "/iris/invocations", {"error_code", "message"}),
        ("POST", "/invocations", {"error_code", "message"}),
        ("GET", "/version", {"error_code", "message"}),
        ("POST", "/predict", {"error"}),
        ("POST", "/predict-proba", {"error"}),
    ],
)
async def test_every_protocol_asks_for_the_scope_predict_in_its_own_words(
    door: Door, model_server: FakeModelServer, method: str, path: str, body: set[str]
) -> None:
    for headers, expected in (({}, 401), (door.key(Scope.bulk), 403)):
        async with door.client.request(method, path, headers=headers, json={}) as response:
            assert (response.status, set(await response.json())) == (expected, body)
    async with door.client.request(method, path, headers=door.key(), json={}) as response:
        assert response.status not in (401, 403)
    assert model_server.calls <= 2  # to see whether the models are ready


async def test_load_and_unload_are_for_admins_who_are_told_another_way(door: Door) -> None:
    for what in ("load", "unload"):
        said = []
        for headers in (door.key(), door.key(*Scope)):
            path = f"/v2/repository/models/iris/{what}"
            async with door.client.post(path, headers=headers, json={}) as response:
                assert response.status == 403
                said.append((await response.json())["error"])
        assert "the scope admin" in said[0]
        assert "sepal models promote" in said[1]


async def test_probes_of_every_protocol_need_no_key_and_tell_strangers_no_names(
    door: Door, model_server: FakeModelServer
) -> None:
    for status in (200, 503):
        for path in PROBES - {"/livez", "/v2/health/live"}:
            async with door.client.get(path) as response:
                assert response.status == status, path
                assert "iris" not in await response.text()
        model_server.status["iris"] = {"error": "iris is gone"}
    async with door.client.get("/ping", headers=door.key()) as response:
        assert "iris is gone" in (await response.json())["message"]


async def test_in_local_nothing_is_asked_for_and_nothing_said_of_keys(
    client: aiohttp.ClientSession,
) -> None:
    _, document, _ = await call(client, "GET", "/openapi.json")
    assert "securitySchemes" not in document["components"]
    headers = {"X-API-Key": "whatever", "Authorization": "Bearer whatever"}
    assert (await call(client, "POST", "/iris/predict", json=IRIS, headers=headers))[0] == 200


@pytest.mark.parametrize("fast_route", ["on", "off"])
async def test_a_key_and_a_token_open_what_their_scope_is_for(
    model_server: FakeModelServer, tmp_path: Path, issuer: Issuer, fast_route: str
) -> None:
    async with opened(model_server, tmp_path, issuer, fast_route=fast_route) as door:
        for headers in (door.key(), door.token()):
            assert (await door.predict(headers))[0] == 200
            assert (await door.predict(headers, "/iris/predict-proba"))[0] == 200
            assert (await call(door.client, "GET", "/models", headers=headers))[0] == 200
            assert (await call(door.client, "GET", "/iris/jobs", headers=headers))[0] == 403
        for headers in (door.key(Scope.bulk), door.token(scope="bulk")):
            assert (await call(door.client, "GET", "/iris/jobs", headers=headers))[0] == 200
            status, body, _ = await door.predict(headers)
            assert status == 403
            assert body["detail"] == "This needs a key or token with the scope predict; yours has bulk."
            assert (await call(door.client, "GET", "/models", headers=headers))[0] == 403
            assert (await call(door.client, "GET", "/metrics", headers=headers))[0] == 403
        assert (await door.predict(door.key(*Scope)))[0] == 200
        async with door.client.get("/metrics", headers=door.key(Scope.admin)) as response:
            assert response.status == 200
        assert (await door.predict(door.token(scope=None)))[1]["detail"].endswith("yours has none.")


@pytest.mark.parametrize("fast_route", ["on", "off"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"x" * 100])
async def test_a_wrong_scope_is_told_before_the_body_is_looked_at(
    model_server: FakeModelServer, tmp_path: Path, issuer: Issuer, fast_route: str, body: bytes
) -> None:
    async with opened(model_server, tmp_path, issuer, fast_route=fast_route) as door:
        headers = {**door.key(Scope.bulk), "Content-Type": "text/plain"}
        assert (await door.predict(headers, data=body, json=None))[0] == 403
    assert model_server.calls == 0


async def test_a_wrong_audience_issuer_age_and_signature_let_nobody_in(
    door: Door, model_server: FakeModelServer
) -> None:
    for claims in ({"aud": "else"}, {"iss": "https://else.example"}, {"exp": time.time() - 60}):
        assert (await door.predict(door.token(**claims)))[0] == 401
    stranger = {"Authorization": f"Bearer {Issuer().token()}"}
    assert (await door.predict(stranger))[0] == 401
    assert model_server.calls == 0


async def test_two_credentials_at_once_are_refused_whichever_is_good(door: Door) -> None:
    good, token = door.key(), door.token()
    assert (await door.predict({**good, **token}))[0] == 401
    twice = [("X-API-Key", good["X-API-Key"]), ("X-API-Key", good["X-API-Key"])]
    assert (await door.predict(twice))[0] == 401
    tokens = [("Authorization", token["Authorization"]), ("Authorization", token["Authorization"])]
    assert (await door.predict(tokens))[0] == 401
    assert (await door.predict({**good, "Authorization": "Basic eDp5"}))[0] == 200


async def test_a_key_is_taken_up_and_given_up_by_a_gateway_that_runs(door: Door) -> None:
    key, text = door.keys.create("shop", (Scope.predict,))
    headers = {"X-API-Key": text}

    async def answered(status: int) -> bool:
        return (await door.predict(headers))[0] == status

    assert await comes_async(partial(answered, 200))
    door.keys.revoke(key.id)
    assert await comes_async(partial(answered, 401), within=20)
    assert "revoked" in (await door.predict(headers))[1]["detail"]


async def test_a_revoked_key_lets_nobody_in_two_seconds_later_and_a_new_one_does(
    door: Door, clock: Clock
) -> None:
    assert (await door.predict(door.key()))[0] == 200  # so it has looked at the file
    key, text = door.keys.create("shop", (Scope.predict,))
    headers = {"X-API-Key": text}
    clock.ahead = 2
    assert (await door.predict(headers))[0] == 200
    door.keys.revoke(key.id)
    clock.ahead = 4
    status, body, _ = await door.predict(headers)
    assert status == 401
    assert "revoked" in body["detail"]


async def test_an_expired_key_lets_nobody_in(door: Door, clock: Clock) -> None:
    _, text = door.keys.create("guest", (Scope.predict,), lasts=timedelta(hours=1))
    clock.ahead = 600
    assert (await door.predict({"X-API-Key": text}))[0] == 200
    clock.ahead = 3601
    status, body, _ = await door.predict({"X-API-Key": text})
    assert status == 401
    assert "expired" in body["detail"]


async def test_strangers_learn_whether_all_is_well_and_no_version(
    door: Door, model_server: FakeModelServer
) -> None:
    for path in ("/readyz", "/healthz"):
        assert (await call(door.client, "GET", path))[:2] == (200, {"status": "ready"})
        told = (await call(door.client, "GET", path, headers=door.key()))[1]
        assert told["models"]["iris"]["version"] == "fake_7"
    model_server.status = {"iris": {"error": "iris:log_reg_9 has another checksum"}}
    assert (await call(door.client, "GET", "/readyz"))[:2] == (503, {"status": "not ready"})
    assert (await call(door.client, "GET", "/livez"))[1] == {"status": "alive"}
    for path in ("/", "/docs", "/openapi.json", "/nowhere"):
        async with door.client.get(path) as response:
            assert f'"{version("sepal")}"' not in await response.text()


async def test_a_wrong_key_is_refused_even_where_none_is_needed(door: Door) -> None:
    for path in PUBLIC:
        async with door.client.get(path, headers=BAD["no such key"]) as response:
            assert response.status == 401


async def test_the_documentation_can_be_switched_off(
    model_server: FakeModelServer, tmp_path: Path, issuer: Issuer
) -> None:
    async with opened(model_server, tmp_path, issuer, docs="off") as door:
        for path in ("/docs", "/openapi.json", "/swagger/swagger-ui.css"):
            assert (await call(door.client, "GET", path))[0] == 401
            status, body, _ = await call(door.client, "GET", path, headers=door.key())
            assert (status, body["detail"]) == (404, "There is nothing at this path.")
        assert (await call(door.client, "GET", "/"))[1] == {"message": "This is Sepal."}


async def test_without_an_issuer_tokens_are_refused_and_not_offered(
    model_server: FakeModelServer, tmp_path: Path, issuer: Issuer
) -> None:
    none = {"token_issuer": "", "token_audience": (), "token_jwks": ""}
    async with opened(model_server, tmp_path, issuer, **none) as door:
        status, body, headers = await door.predict(door.token())
        assert (status, headers["WWW-Authenticate"]) == (401, 'ApiKey realm="sepal"')
        assert body["detail"] == "No bearer tokens are taken here. Send the header X-API-Key."
        assert (await door.predict({}))[1]["detail"] == "Send the header X-API-Key with your key."
        assert (await door.predict(door.key()))[0] == 200
        document = (await call(door.client, "GET", "/openapi.json"))[1]
        assert document["components"]["securitySchemes"].keys() == {"key"}


async def test_every_answer_has_the_headers_that_browsers_heed(
    model_server: FakeModelServer, tmp_path: Path, issuer: Issuer
) -> None:
    async with opened(model_server, tmp_path, issuer, hsts=600) as door:
        answers = [
            (await door.predict(door.key()))[2],
            (await door.predict({}))[2],
            (await call(door.client, "GET", "/readyz"))[2],
            (await call(door.client, "GET", "/nowhere", headers=door.key()))[2],
        ]
        for headers in answers:
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert headers["Strict-Transport-Security"] == "max-age=600; includeSubDomains"
            assert "Access-Control-Allow-Origin" not in headers
        async with door.client.get("/docs") as page:
            (policy,) = page.headers.getall("Content-Security-Policy")
            assert "script-src 'self' 'sha256-" in policy
            assert "frame-ancestors 'none'" in policy
            assert page.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_page_of_elsewhere_may_call_only_from_an_origin_in_the_settings(
    model_server: FakeModelServer, tmp_path: Path, issuer: Issuer
) -> None:
    asked_for = "content-type, inference-header-content-length, x-api-key, x-request-deadline"
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked_for}
    async with opened(model_server, tmp_path, issuer, cors_origins=("https://app.example",)) as door:
        for origin, allowed in (("https://app.example", True), ("https://evil.example", False)):
            asked = {"Origin": origin, **ask}
            async with door.client.options("/iris/predict", headers=asked) as response:
                assert (response.status == 200) == allowed
                assert (response.headers.get("Access-Control-Allow-Origin") == origin) == allowed
            for headers in (door.key(), {}):
                answered = (await door.predict({"Origin": origin, **headers}))[2]
                assert (answered.get("Access-Control-Allow-Origin") == origin) == allowed


async def test_keys_that_can_t_be_read_are_our_fault_and_not_the_callers(
    model_server: FakeModelServer, tmp_path: Path, issuer: Issuer
) -> None:
    async with opened(model_server, tmp_path, issuer) as door:
        (tmp_path / "keys.json").write_text("{")
        status, body, headers = await door.predict(BAD["no such key"])
        assert (status, body["title"]) == (503, "Access can't be checked")
        assert headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (None, "unknown"),
        (("no address", 1), "unknown"),
        (("192.0.2.7", 1), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:0db8:0001:0002::/64"),
        (("2001:db8:1:2::", 1), "2001:0db8:0001:0002::/64"),
    ],
)
def test_an_address_is_one_of_ipv4_or_a_network_of_ipv6(client: object, address: str) -> None:
    assert _address({"client": client}) == address


def test_a_bearer_is_one_however_it_is_spelt() -> None:
    for spelt in (b"Bearer t", b"bearer t", b"BEARER   t "):
        assert _credentials({"headers": [(b"authorization", spelt)]}) == (None, b"t")


async def test_a_file_of_keys_that_is_broken_is_told_by_a_metric_until_it_is_repaired(door: Door) -> None:
    key = door.key(*Scope)

    async def told(wanted: float) -> bool:
        async with door.client.get("/metrics", headers=key) as response:
            return f"\nsepal_keys_stale {wanted}\n" in await response.text()

    file = door.settings.keys
    sound = file.read_bytes()
    assert await comes_async(partial(told, 0.0))
    file.write_bytes(sound[: len(sound) // 2])
    assert await comes_async(partial(told, 1.0))
    file.write_bytes(sound)
    assert await comes_async(partial(told, 0.0))
