"""Bearer tokens: which are taken, and everything that makes one refused."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sepal.access.callers import Caller
from sepal.access.jwks import KeySet, parse
from sepal.access.rates import Rate
from sepal.access.tokens import Tokens
from sepal.errors import AccessUnavailableError, AuthenticationError
from tests.access.conftest import AUDIENCE, ISSUER, Clock, Issuer
from tests.waiting import LONG

ALGORITHMS = ("RS256", "ES256", "EdDSA")


def tokens_by(keys: KeySet, remember: int = 100) -> Tokens:
    return Tokens(keys, ISSUER, (AUDIENCE, "other"), 1.0, Rate(5, 1), remember)


@pytest.fixture
def tokens(issuer: Issuer, tmp_path: Path) -> Tokens:
    return tokens_by(KeySet(str(issuer.write(tmp_path / "jwks.json")), ALGORITHMS, 300))


async def refusal(tokens: Tokens, token: str | bytes) -> str:
    presented = token if isinstance(token, bytes) else token.encode()
    with pytest.raises(AuthenticationError) as refused:
        await tokens.verify(presented)
    assert tokens.known(presented) is None
    return str(refused.value)


def unsigned(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A token put together by hand, as an attacker does it."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    content = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    return f"{content}.{part(sign(content.encode()))}"


@dataclass(frozen=True)
class Away:
    """A time so many seconds from when the test runs."""

    seconds: float

    def time(self) -> float:
        return time.time() + self.seconds


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_good_token_lets_its_subject_in_and_is_known_the_next_time(
    tokens: Tokens, issuer: Issuer, algorithm: str
) -> None:
    token = issuer.token(algorithm, scope="predict openid admin").encode()
    assert tokens.known(token) is None
    caller = await tokens.verify(token)
    assert caller == Caller("token:alice", frozenset({"predict", "admin"}), Rate(5, 1))
    assert tokens.known(token) is caller


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "bulk"}, {"bulk"}),
        ({"scope": None, "scp": ["bulk", "predict"]}, {"bulk", "predict"}),
        ({"scope": None, "scp": "bulk predict"}, {"bulk", "predict"}),
        ({"scope": None}, set()),
        ({"scope": "PREDICT predictive"}, set()),
        ({"scope": 7, "scp": [["predict"], None, 5]}, set()),
        ({"scope": {"predict": True}}, set()),
    ],
)
async def test_scopes_come_from_scope_or_scp_and_no_others_are_made_up(
    tokens: Tokens, issuer: Issuer, claims: dict[str, Any], scopes: set[str]
) -> None:
    assert (await tokens.verify(issuer.token(**claims).encode())).scopes == scopes


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"exp": Away(-60)}, "expired"),
        ({"nbf": Away(600)}, "not good yet"),
        ({"iat": Away(600)}, "not good yet"),
        ({"aud": "another"}, "another audience"),
        ({"aud": ["another", "third"]}, "another audience"),
        ({"aud": None}, "not good"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": ISSUER + "/"}, "another issuer"),
        ({"iss": None}, "not good"),
        ({"exp": None}, "not good"),
        ({"exp": "never"}, "not good"),
        ({"exp": 10**400}, "not good"),
        ({"sub": None}, "not good"),
        ({"sub": 5}, "not good"),
        ({"sub": "\ud800"}, "not good"),
    ],
)
async def test_a_token_with_a_wrong_or_missing_claim_is_refused(
    tokens: Tokens, issuer: Issuer, claims: dict[str, Any], says: str
) -> None:
    claims = {name: value.time() if isinstance(value, Away) else value for name, value in claims.items()}
    token = unsigned(
        {"alg": "RS256", "kid": "rsa"},
        issuer.claims(**claims),
        lambda content: jwt.get_algorithm_by_name("RS256").sign(content, issuer.rsa),
    )
    assert says in await refusal(tokens, token)


async def test_several_audiences_are_taken_if_one_is_ours(tokens: Tokens, issuer: Issuer) -> None:
    await tokens.verify(issuer.token(aud=["x", "other"]).encode())


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None])
async def test_a_token_without_a_signature_is_refused(
    tokens: Tokens, issuer: Issuer, algorithm: str | None
) -> None:
    token = unsigned({"alg": algorithm, "kid": "rsa", "typ": "JWT"}, issuer.claims(), lambda _: b"")
    assert "taken here" in await refusal(tokens, token)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("kid", ["rsa", "ec", None])
async def test_a_public_key_is_not_taken_for_a_shared_secret(
    tokens: Tokens, issuer: Issuer, algorithm: str, kid: str | None
) -> None:
    public = issuer.rsa.public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(issuer.jwks["keys"][0]).encode(),
        b"",
    ):
        digest = algorithm.replace("HS", "sha")
        token = unsigned(
            {"alg": algorithm, "kid": kid} if kid else {"alg": algorithm},
            issuer.claims(),
            lambda content, secret=secret, digest=digest: hmac.digest(secret, content, digest),
        )
        assert "taken here" in await refusal(tokens, token)


async def test_a_symmetric_key_in_the_issuers_own_set_signs_nothing(issuer: Issuer, tmp_path: Path) -> None:
    secret = {"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(b"s" * 32).decode()}
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [*issuer.jwks["keys"], secret]}))
    tokens = tokens_by(KeySet(str(path), ALGORITHMS, 300))
    token = jwt.encode(issuer.claims(), b"s" * 32, "HS256", headers={"kid": "shared"})
    assert "taken here" in await refusal(tokens, token)


@pytest.mark.parametrize(
    "headers",
    [
        {"kid": "nobody"},
        {"kid": "ec"},  # a key of another type than the algorithm's
        {"kid": "../../etc/passwd"},
        {"kid": "rsa", "crit": ["unheard-of"], "unheard-of": 1},
        {"kid": "rsa", "b64": False, "crit": ["b64"]},
    ],
)
async def test_a_header_that_names_a_wrong_key_or_asks_for_more_is_refused(
    tokens: Tokens, issuer: Issuer, headers: dict[str, Any]
) -> None:
    token = unsigned(
        {"alg": "RS256", **headers},
        issuer.claims(),
        lambda content: jwt.get_algorithm_by_name("RS256").sign(content, issuer.rsa),
    )
    await refusal(tokens, token)


@pytest.mark.parametrize("kid", [5, None, ["rsa"], {}])
async def test_a_key_id_that_is_no_text_is_refused(tokens: Tokens, issuer: Issuer, kid: object) -> None:
    await refusal(tokens, unsigned({"alg": "RS256", "kid": kid}, issuer.claims(), lambda _: b"x"))


async def test_a_key_that_the_token_brings_along_is_not_looked_at(tokens: Tokens) -> None:
    attacker = Issuer()
    own = attacker.jwks["keys"][0]
    for headers in (
        {"jwk": own},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example"},
    ):
        assert "not good" in await refusal(tokens, attacker.token(headers=headers))


async def test_another_issuers_signature_and_a_changed_claim_are_refused(
    tokens: Tokens, issuer: Issuer
) -> None:
    await refusal(tokens, Issuer().token())
    head, _, signature = issuer.token().split(".")
    more = base64.urlsafe_b64encode(json.dumps(issuer.claims(scope="admin")).encode()).rstrip(b"=")
    await refusal(tokens, f"{head}.{more.decode()}.{signature}")


@pytest.mark.parametrize("algorithm", ["RS384", "PS256"])
async def test_an_algorithm_that_is_not_in_the_settings_is_refused(
    tokens: Tokens, issuer: Issuer, algorithm: str
) -> None:
    assert "taken here" in await refusal(tokens, issuer.token(algorithm))


async def test_an_algorithm_that_the_key_itself_excludes_is_refused(issuer: Issuer, tmp_path: Path) -> None:
    own = {**issuer.jwks["keys"][0], "alg": "PS256"}
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [own]}))
    tokens = tokens_by(KeySet(str(tmp_path / "jwks.json"), ("RS256", "PS256"), 300))
    await tokens.verify(issuer.token("PS256").encode())
    assert "taken here" in await refusal(tokens, issuer.token("RS256"))


async def test_a_short_rsa_key_signs_nothing(tmp_path: Path) -> None:
    weak = Issuer(rsa=rsa.generate_private_key(65537, 1024))  # noqa: S505 (what is tested)
    tokens = tokens_by(KeySet(str(weak.write(tmp_path / "jwks.json")), ALGORITHMS, 300))
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = weak.token()
    await refusal(tokens, token)


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b".",
        b"..",
        b"a.b.c",
        b"\xff\xfe.\x00.",
        b"." * 8000,
        base64.urlsafe_b64encode(b"[" * 5000).rstrip(b"=") + b".e30.e30",
        base64.urlsafe_b64encode(b'{"alg":' + b'{"a":' * 1000).rstrip(b"=") + b".e30.e30",
        base64.urlsafe_b64encode(b"[]").rstrip(b"=") + b".e30.",
        base64.urlsafe_b64encode(b"null").rstrip(b"=") + b".e30.",
    ],
)
async def test_what_is_no_token_is_refused_and_breaks_nothing(tokens: Tokens, token: bytes) -> None:
    await refusal(tokens, token)


async def test_a_known_token_ends_when_it_expires(tokens: Tokens, issuer: Issuer, clock: Clock) -> None:
    expires = int(time.time()) + 600
    token = issuer.token(exp=expires).encode()
    caller = await tokens.verify(token)
    clock.ahead = 500
    assert tokens.known(token) is caller
    clock.ahead = expires + 1 - time.time()  # the leeway is a second
    assert tokens.known(token) is None
    assert "expired" in await refusal(tokens, token)


async def test_a_strange_subject_is_known_by_its_hash(tokens: Tokens, issuer: Issuer) -> None:
    for subject in ('a"\n{"event": "forged"}', "x" * 500, "ünï"):
        caller = await tokens.verify(issuer.token(sub=subject).encode())
        assert caller.id == f"token:sha256:{sha256(subject.encode()).hexdigest()[:32]}"


async def test_only_so_many_tokens_are_remembered(issuer: Issuer, tmp_path: Path) -> None:
    keys = KeySet(str(issuer.write(tmp_path / "jwks.json")), ALGORITHMS, 300)
    tokens = tokens_by(keys, remember=3)
    first, *others = [issuer.token("ES256", sub=f"s{n}").encode() for n in range(4)]
    for token in (first, *others):
        await tokens.verify(token)
    assert [tokens.known(token) is None for token in (first, *others)] == [True, False, False, False]


class Url:
    """A JWKS at a URL, with how often it was asked for."""

    def __init__(self, issuer: Issuer) -> None:
        self.answer: Callable[[], web.Response] = lambda: web.json_response(issuer.jwks)
        self.asked = 0
        self.url = ""

    async def respond(self, _: web.Request) -> web.Response:
        self.asked += 1
        return self.answer()


@pytest.fixture
async def url(issuer: Issuer) -> AsyncIterator[Url]:
    served = Url(issuer)
    app = web.Application()
    app.router.add_get("/jwks.json", served.respond)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks.json"
    yield served
    await runner.cleanup()


async def test_the_keys_are_fetched_once_for_many_tokens(url: Url, issuer: Issuer) -> None:
    tokens = tokens_by(KeySet(url.url, ALGORITHMS, 300))
    await asyncio.gather(*(tokens.verify(issuer.token("ES256", sub=f"s{n}").encode()) for n in range(50)))
    assert url.asked == 1


async def test_made_up_key_ids_do_not_make_the_gateway_fetch_each_time(url: Url, issuer: Issuer) -> None:
    tokens = tokens_by(KeySet(url.url, ALGORITHMS, 300, pause=60))
    for number in range(20):
        await refusal(tokens, issuer.token("ES256", headers={"kid": f"made-up-{number}"}))
    assert url.asked == 1


async def test_a_new_key_is_taken_up_when_a_token_names_it(url: Url, issuer: Issuer) -> None:
    tokens = tokens_by(KeySet(url.url, ALGORITHMS, 300, pause=0))
    old = issuer.token().encode()
    await tokens.verify(old)
    following = Issuer()
    renamed = [{**key, "kid": f"{key['kid']}2"} for key in following.jwks["keys"]]
    url.answer = lambda: web.json_response({"keys": renamed})
    await tokens.verify(following.token(headers={"kid": "rsa2"}).encode())
    assert tokens.known(old) is None, "its key is withdrawn"
    assert "taken here" in await refusal(tokens, old)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=500),
        lambda: web.Response(text="no JSON"),
        lambda: web.json_response({"keys": []}),
        lambda: web.json_response([1]),
        lambda: web.json_response({"keys": [5]}),
        lambda: web.json_response({"keys": [{"kty": "RSA", "kid": "rsa", "n": "!", "e": 5}]}),
        lambda: web.json_response({"keys": [{"kty": "RSA", "key_ops": 5}]}),
        lambda: web.json_response({"keys": [{"kty": "EC", "crv": "P-256", "kid": ["ec"]}]}),
        lambda: web.Response(text="[" * 100_000),
        lambda: web.Response(body=b" " * (2**20 + 5)),
        lambda: web.HTTPFound("https://evil.example/jwks.json"),
    ],
)
async def test_a_url_that_fails_leaves_the_keys_as_they_were(
    url: Url, issuer: Issuer, answer: Callable[[], web.Response], caplog: pytest.LogCaptureFixture
) -> None:
    good, url.answer = url.answer, answer
    tokens = tokens_by(KeySet(url.url, ALGORITHMS, 300, pause=0))
    with pytest.raises(AccessUnavailableError):
        await tokens.verify(issuer.token().encode())
    assert "can't be read, no token is taken" in caplog.text
    url.answer = good
    await tokens.verify(issuer.token().encode())
    url.answer = answer
    await refusal(tokens, issuer.token(headers={"kid": "new"}))
    assert "those that were read before are taken" in caplog.text
    await tokens.verify(issuer.token(sub="bob").encode())


async def test_old_keys_are_fetched_anew_while_nobody_waits(url: Url, issuer: Issuer) -> None:
    tokens = tokens_by(KeySet(url.url, ALGORITHMS, 0.05))
    token = issuer.token().encode()
    await tokens.verify(token)
    deadline = time.monotonic() + LONG
    while url.asked < 3 and time.monotonic() < deadline:
        assert tokens.known(token) is not None
        await asyncio.sleep(0.01)
    assert url.asked >= 3


def test_a_token_without_a_key_id_needs_a_set_of_one_key(issuer: Issuer) -> None:
    first = issuer.jwks["keys"][0]
    assert list(parse(json.dumps({"keys": [first]}).encode(), ALGORITHMS)) == ["rsa"]
    for other in ({"use": "enc"}, {"key_ops": ["encrypt"]}):
        with pytest.raises(ValueError, match="has no key for RS256"):
            parse(json.dumps({"keys": [{**first, **other}]}).encode(), ALGORITHMS)


async def test_a_token_may_leave_the_key_id_out_if_there_is_one_key(issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": issuer.jwks["keys"][:1]}))
    tokens = tokens_by(KeySet(str(tmp_path / "jwks.json"), ALGORITHMS, 300))
    await tokens.verify(jwt.encode(issuer.claims(), issuer.rsa, "RS256").encode())


async def test_a_url_that_breaks_off_or_speaks_no_http_is_away(issuer: Issuer) -> None:
    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"what?\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(nonsense, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        tokens = tokens_by(KeySet(f"http://127.0.0.1:{port}/", ALGORITHMS, 300))
        with pytest.raises(AccessUnavailableError):
            await tokens.verify(issuer.token().encode())


async def test_a_url_that_answers_byte_by_byte_is_away_after_its_time(issuer: Issuer) -> None:
    hung_up = asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()
        hung_up.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        tokens = tokens_by(KeySet(f"http://127.0.0.1:{port}/", ALGORITHMS, 300, longest=0.4))
        with pytest.raises(AccessUnavailableError):
            await asyncio.wait_for(tokens.verify(issuer.token().encode()), LONG)
        await asyncio.wait_for(hung_up.wait(), LONG)
