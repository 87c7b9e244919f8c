"""The public keys of whoever issues tokens: a JWKS (RFC 7517) from a file or a URL, and kept fresh."""

import asyncio
import json
import logging
import time
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from sepal.errors import AccessUnavailableError

logger = logging.getLogger(__name__)

PAUSE = 10.0
"""Seconds between two fetches for keys that are not known: made-up ids must not cause one each."""
FILE_LOOK = 1.0
"""Seconds after which a file is read anew."""

LONGEST = 10.0
"""Seconds that a URL's answer may take in all: tokens wait for it."""

_TIMEOUT = 5.0
_PIECE = 2**16
_MOST_BYTES = 2**20
_FAMILIES = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
}
"""What a key may sign with, by its type or its curve. A symmetric key is not among them."""

KeysByName = Mapping[str | None, Mapping[str, PyJWK]]


class KeySet:
    """The keys by id and algorithm. What can't be fetched leaves those that were fetched last."""

    def __init__(
        self,
        source: str,
        algorithms: Sequence[str],
        cache: float,
        pause: float = PAUSE,
        longest: float = LONGEST,
    ) -> None:
        self._source = source
        self._longest = longest
        self._algorithms = algorithms
        self._cache = cache if is_url(source) else FILE_LOOK
        self._pause = pause if is_url(source) else FILE_LOOK
        self._keys: KeysByName | None = None
        self._content = b""
        self._fetched = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self.generation = 0

    async def find(self, name: str | None, algorithm: str) -> PyJWK | None:
        """The key of a token; None if there is none. AccessUnavailableError if no keys were ever had."""
        self.refresh()
        if self._key(name, algorithm) is None and time.monotonic() - self._fetched >= self._pause:
            self._begin()
        if self._fetching is not None and self._key(name, algorithm) is None:
            await asyncio.shield(self._fetching)
        if self._keys is None:
            raise AccessUnavailableError("The keys of the token's issuer can't be had just now. Try again.")
        return self._key(name, algorithm)

    def refresh(self) -> None:
        """Begin to fetch the keys if they are old, and let nobody wait for it."""
        if time.monotonic() - self._fetched >= self._cache:
            self._begin()

    def _key(self, name: str | None, algorithm: str) -> PyJWK | None:
        if self._keys is None:
            return None
        if name is None and len(self._keys) == 1:
            (only,) = self._keys.values()
            return only.get(algorithm)
        return self._keys.get(name, {}).get(algorithm)

    def _begin(self) -> None:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            content = await asyncio.to_thread(_read, self._source, self._longest)
            if content != self._content:
                self._keys = parse(content, self._algorithms)
                self._content = content
                self.generation += 1
        except (OSError, ValueError, HTTPException) as error:
            kept = "no token is taken" if self._keys is None else "those that were read before are taken"
            logger.error("the keys at %s can't be read, %s: %s", self._source, kept, error)
        finally:
            self._fetched = time.monotonic()
            self._fetching = None


def is_url(source: str) -> bool:
    """Whether keys are to be fetched, not read from a file."""
    return source.startswith(("https://", "http://"))


def parse(content: bytes, algorithms: Sequence[str]) -> KeysByName:
    """The keys of a JWKS that are for signing by one of these algorithms. ValueError if it is none."""
    try:
        document = json.loads(content)
        listed = [dict(key) for key in document["keys"]]
    except (RecursionError, KeyError, TypeError) as error:
        raise ValueError(f"it is no JWKS: {error!r}") from error
    keys: dict[str | None, dict[str, PyJWK]] = {}
    for jwk in listed:
        try:
            for algorithm in _algorithms_of(jwk):
                if algorithm in algorithms:
                    keys.setdefault(jwk.get("kid"), {})[algorithm] = PyJWK(jwk, algorithm)
        except (PyJWTError, ValueError, TypeError, KeyError) as error:
            raise ValueError(f"the key {jwk.get('kid')!r} is none: {error!r}") from error
    if not keys:
        raise ValueError(f"it has no key for {', '.join(algorithms)}")
    return keys


def _algorithms_of(jwk: Mapping[str, Any]) -> Sequence[str]:
    """What a key may sign with: what its type can, and what it says; nothing if it is for another use."""
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        return ()
    can = _FAMILIES.get(str(jwk.get("crv") or jwk.get("kty")), ())
    return [algorithm for algorithm in can if jwk.get("alg", algorithm) == algorithm]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow none: where the keys come from is ours to say."""


def _read(source: str, longest: float) -> bytes:
    """The file or the answer, as far as it may be long. OSError if it is not there in `longest` seconds."""
    if not is_url(source):
        return Path(source).read_bytes()
    opener = urllib.request.build_opener(_NoRedirects)
    end = time.monotonic() + longest
    content = b""
    with opener.open(source, timeout=_TIMEOUT) as response:
        while piece := response.read1(_PIECE):
            content += piece
            if len(content) > _MOST_BYTES:
                raise ValueError(f"it is longer than {_MOST_BYTES} bytes")
            if time.monotonic() > end:
                raise TimeoutError(f"it did not come within {longest:g} seconds")
    return content
