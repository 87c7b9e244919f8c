"""An issuer of tokens with keys of its own, and a file of API keys."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_curve
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

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


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")
