"""Lets in who may come in: each request's key or token is checked here, once, whichever route takes it."""

from ipaddress import IPv6Address, ip_address
from typing import Any

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes
from starlette.types import ASGIApp, Receive, Scope, Send

from sepal.access.callers import Caller
from sepal.access.jwks import KeySet
from sepal.access.key_ring import KeyRing
from sepal.access.rates import Rate
from sepal.access.tokens import Tokens
from sepal.errors import AuthenticationError, MissingScopeError, SepalError
from sepal.gateway import problems
from sepal.gateway.documentation import DOCUMENTATION_PATHS
from sepal.gateway.limits import Limits
from sepal.gateway.openapi import problem_responses
from sepal.gateway.protocols.probe_paths import PROTOCOL_PROBES
from sepal.gateway.request_context import RequestContext, context_of
from sepal.settings import Settings

_PROBES = frozenset({"/livez", "/readyz", "/healthz"}) | PROTOCOL_PROBES
_NOBODY: frozenset[str] = frozenset()
_LONGEST = 8192
"""Bytes of a key or token; a longer one is none."""

_KEY = APIKeyHeader(
    name="X-API-Key", scheme_name="key", description="A key made by `sepal keys create`.", auto_error=False
)
_TOKEN = HTTPBearer(
    bearerFormat="JWT",
    scheme_name="token",
    description="A token of the issuer that the gateway is set to.",
    auto_error=False,
)


class Access:
    """Whose each request is and whether it may come in, as far as the settings ask for it."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        self._limits = limits
        self._retry_after = settings.retry_after
        self._on = settings.access_is_on
        counted = settings.limits_are_on
        default = Rate.parse(settings.rate, settings.burst) if counted else None
        self._address_rate = Rate.parse(settings.address_rate) if counted else None
        self._failure_rate = Rate.parse(settings.failure_rate) if counted else None
        self._counted = counted
        self._keys = KeyRing(settings.keys, default)
        self._tokens = _tokens(settings, default)
        self._public = frozenset({"/"} | (DOCUMENTATION_PATHS if settings.docs == "on" else set()))
        self._challenge = 'ApiKey realm="sepal"' + (', Bearer realm="sepal"' if self._tokens else "")

    @property
    def is_asked_for(self) -> bool:
        """Whether there is anything to check."""
        return self._on or self._counted

    @property
    def keys_are_stale(self) -> bool:
        """Whether the file of the keys could not be read when it was looked at last."""
        return self._keys.stale

    def around(self, app: ASGIApp) -> ASGIApp:
        """An ASGI application that lets through to another what may come in, and answers the rest."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await self._admit(scope, context_of(scope))
            except SepalError as error:
                await problems.known(scope, error, self._retry_after)(scope, receive, send)
                return
            await app(scope, receive, send)

        return guarded

    def needs(self, name: str) -> dict[str, Any]:
        """What a route or router has to be told to be for callers with a scope, and to say so at /docs."""
        declared: dict[str, Any] = {}
        if self._counted:
            declared["responses"] = problem_responses(429)
        if self._on:
            declared["responses"] = problem_responses(401, 403, *((429,) if self._counted else ()))
            declared["dependencies"] = [Security(_by_either if self._tokens else _by_key, scopes=[name])]
        return declared

    async def _admit(self, scope: Scope, context: RequestContext) -> None:
        path = scope["path"]
        if not self._on:
            if path not in _PROBES:
                await self._limits.hit(self._address_rate, "address", _address(scope))
            return
        key, token = _credentials(scope)
        if key is None and token is None:
            context.scopes = _NOBODY
            if path in _PROBES:
                return
            if path in self._public:
                await self._limits.hit(self._address_rate, "address", _address(scope))
                return
        try:
            caller = await self._caller(scope, key, token)
        except AuthenticationError as error:
            await self._limits.hit(self._failure_rate, "failed", _address(scope))
            raise AuthenticationError(str(error), {"WWW-Authenticate": self._challenge}) from error
        context.key_id, context.scopes = caller.id, caller.scopes
        if self._counted and caller.rate is not None:
            await self._limits.hit(caller.rate, "key", caller.id)

    async def _caller(self, scope: Scope, key: bytes | None, token: bytes | None) -> Caller:
        if key is not None and token is not None:
            raise AuthenticationError("Send one key or one token, and not more.")
        if key is not None:
            return self._keys.verify(key)
        if token is None:
            also = ", or Authorization with a bearer token" if self._tokens else ""
            raise AuthenticationError(f"Send the header X-API-Key with your key{also}.")
        if self._tokens is None:
            raise AuthenticationError("No bearer tokens are taken here. Send the header X-API-Key.")
        known = self._tokens.known(token)
        if known is None:
            await self._limits.check(self._failure_rate, "failed", _address(scope))
            known = await self._tokens.verify(token)
        return known


def require(scope: Scope, name: str) -> None:
    """MissingScopeError unless whoever sent a request may do what needs this scope."""
    context = context_of(scope)
    if not context.may(name):
        has = ", ".join(sorted(context.scopes or ())) or "none"
        raise MissingScopeError(f"This needs a key or token with the scope {name}; yours has {has}.")


async def _by_key(scopes: SecurityScopes, request: Request, _key: object = Security(_KEY)) -> None:
    for name in scopes.scopes:
        require(request.scope, name)


async def _by_either(
    scopes: SecurityScopes,
    request: Request,
    _key: object = Security(_KEY),
    _token: object = Security(_TOKEN),
) -> None:
    await _by_key(scopes, request)


def _tokens(settings: Settings, rate: Rate | None) -> Tokens | None:
    if not settings.token_jwks:
        return None
    keys = KeySet(settings.token_jwks, settings.token_algorithms, settings.token_jwks_cache)
    return Tokens(keys, settings.token_issuer, settings.token_audience, settings.token_leeway, rate)


def _credentials(scope: Scope) -> tuple[bytes | None, bytes | None]:
    """The key and the token of a request; one that came twice or is too long is empty, and so no good."""
    key = token = None
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            key = value if key is None and len(value) <= _LONGEST else b""
        elif name == b"authorization":
            kind, _, rest = value.partition(b" ")
            if kind.lower() == b"bearer":
                token = rest.strip() if token is None and len(rest) <= _LONGEST else b""
    return key, token


def _address(scope: Scope) -> str:
    """The client's address; of IPv6 the first half, since one client has all the rest to choose from."""
    client = scope.get("client")
    if client is None:
        return "unknown"
    try:
        address = ip_address(client[0])
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else f"{address.exploded[:19]}::/64"
    return str(address)
