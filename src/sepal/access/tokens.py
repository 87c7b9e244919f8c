"""Bearer tokens: JWTs (RFC 7519) that an issuer has signed for us, by a key of its JWKS.

How a token is verified follows from the issuer's key and our list of algorithms, never from
the token: `none` and HMAC are in neither, so a public key can't be taken for a shared secret.
What a token says of where its key may be had (`jku`, `x5u`, `jwk`) is not looked at.
"""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidIssuerError,
    PyJWTError,
)

from sepal.access.callers import Caller, Scope
from sepal.access.jwks import KeySet
from sepal.access.rates import Rate
from sepal.errors import AuthenticationError

KNOWN = 10_000
"""Tokens that are kept once verified: a signature costs as much as all the rest of a request."""
_PLAIN = re.compile(r"[\w.@|:-]{1,100}", re.ASCII)
_TOLD: dict[type[Exception], str] = {
    ExpiredSignatureError: "The token has expired. Get another from its issuer.",
    ImmatureSignatureError: "The token is not good yet.",
    InvalidAudienceError: "The token is for another audience.",
    InvalidIssuerError: "The token is from another issuer.",
}


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    ends: float
    generation: int


class Tokens:
    """Verifies tokens, and remembers those that it found good, by their SHA-256."""

    def __init__(
        self,
        keys: KeySet,
        issuer: str,
        audiences: tuple[str, ...],
        leeway: float,
        rate: Rate | None,
        remember: int = KNOWN,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audiences = audiences
        self._leeway = leeway
        self._rate = rate
        self._remember = remember
        self._jwt = jwt.PyJWT({"enforce_minimum_key_length": True})
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def known(self, token: bytes) -> Caller | None:
        """Whose token this is, if it was verified before, with keys that are still the issuer's."""
        self._keys.refresh()
        name = hashlib.sha256(token).digest()
        known = self._known.get(name)
        if known is None or known.generation != self._keys.generation or time.time() >= known.ends:
            return None
        self._known.move_to_end(name)
        return known.caller

    async def verify(self, token: bytes) -> Caller:
        """Whose token this is. AuthenticationError if nobody's; AccessUnavailableError without keys."""
        try:
            header = jwt.get_unverified_header(token)
            name, algorithm = header.get("kid"), str(header.get("alg"))
            key = await self._keys.find(name, algorithm)
            if key is None:
                raise AuthenticationError("The token is signed by no key or algorithm that is taken here.")
            generation = self._keys.generation
            claims = self._jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audiences,
                issuer=self._issuer,
                leeway=self._leeway,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            ends = int(claims["exp"]) + self._leeway  # whole seconds, as PyJWT takes them
            caller = Caller(f"token:{_plain(claims['sub'])}", _scopes(claims), self._rate)
        except (PyJWTError, RecursionError, ValueError, TypeError, OverflowError) as error:
            told = _TOLD.get(type(error), "The token is not good.")
            raise AuthenticationError(told) from error
        self._known[hashlib.sha256(token).digest()] = _Known(caller, ends, generation)
        if len(self._known) > self._remember:
            self._known.popitem(last=False)
        return caller


def _plain(subject: str) -> str:
    """A subject as it is, or if it is long or strange its hash: it goes into logs and into Redis."""
    if _PLAIN.fullmatch(subject):
        return subject
    return f"sha256:{hashlib.sha256(subject.encode()).hexdigest()[:32]}"


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes of ours that a token has: `scope` as RFC 8693 has it, or `scp` as some issuers do."""
    named: set[str] = set()
    for claim in (claims.get("scope"), claims.get("scp")):
        if isinstance(claim, str):
            named.update(claim.split())
        elif isinstance(claim, list):
            named.update(name for name in claim if isinstance(name, str))
    return frozenset(scope for scope in Scope if scope in named)
