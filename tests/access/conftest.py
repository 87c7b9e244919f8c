"""An issuer of tokens with keys of its own, and a file of API keys."""

import json
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_curve
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from sepal.access import key_ring, tokens
from sepal.access.keys import KeyFile

ISSUER, AUDIENCE = "https://issuer.example", "sepal"


@dataclass
class Issuer:
    """Signs tokens with RSA (key id `rsa`) and with an elliptic curve (key id `ec`)."""

    rsa: RSAPrivateKey = field(default_factory=lambda: generate_rsa(65537, 2048))
    ec: EllipticCurvePrivateKey = field(default_factory=lambda: generate_curve(SECP256R1()))

    @property
    def jwks(self) -> dict[str, Any]:
        own = RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True)
        curve = ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True)
        return {"keys": [{**own, "kid": "rsa", "use": "sig"}, {**curve, "kid": "ec"}]}

    def write(self, path: Path) -> Path:
        path.write_text(json.dumps(self.jwks))
        return path

    def claims(self, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "scope": "predict",
            "exp": time.time() + 60,
        }
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def token(
        self,
        algorithm: str = "RS256",
        headers: dict[str, Any] | None = None,
        **changes: Any,  # noqa: ANN401
    ) -> str:
        key = self.ec if algorithm.startswith("ES") else self.rsa
        name = {"kid": "ec" if algorithm.startswith("ES") else "rsa"}
        return jwt.encode(self.claims(**changes), key, algorithm, headers={**name, **(headers or {})})


@dataclass
class Clock:
    """What the time is to those who verify keys and tokens: the real one, and what the test adds."""

    ahead: float = 0.0

    def time(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def of_day(self) -> type[datetime]:
        """Stands in for `datetime`."""
        clock = self

        class Ahead(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + timedelta(seconds=clock.ahead)

        return Ahead

    @classmethod
    def put_in(cls, monkeypatch: pytest.MonkeyPatch) -> "Clock":
        """A clock that a test can put forward, so that it need not wait."""
        clock = cls()
        for module in (key_ring, tokens):
            monkeypatch.setattr(module, "time", clock)
        for module in (key_ring, jwt.api_jwt):
            monkeypatch.setattr(module, "datetime", clock.of_day())
        return clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.put_in(monkeypatch)


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")
