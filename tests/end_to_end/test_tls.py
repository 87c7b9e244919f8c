"""Both hops over TLS with client certificates, as `sepal serve` runs them."""

import asyncio
import json
import ssl
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import trustme

from tests.end_to_end.conftest import IRIS, Place, serving

pytestmark = pytest.mark.end_to_end


@dataclass
class Certificates:
    """PEM files: a CA, and a certificate with its key for a server and for a client."""

    folder: Path

    def __post_init__(self) -> None:
        self.ca = trustme.CA()
        self.ca.cert_pem.write_to_path(self.path("ca"))
        for name, host in {"server": "127.0.0.1", "client": "gateway.sepal"}.items():
            certificate = self.ca.issue_cert(host)
            certificate.private_key_pem.write_to_path(self.path(f"{name}-key"))
            for number, pem in enumerate(certificate.cert_chain_pems):
                pem.write_to_path(self.path(name), append=number > 0)

    def path(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")

    def context(self, *, client: bool) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.path("ca"))
        if client:
            context.load_cert_chain(self.path("client"), self.path("client-key"))
        return context


@pytest.fixture
def pem(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def over_tls(place: Place, pem: Certificates, *, mutual: bool) -> Place:
    settings = {
        "GATEWAY_TLS_CERTIFICATE": "server",
        "GATEWAY_TLS_KEY": "server-key",
        "MODEL_SERVER_TLS_CERTIFICATE": "server",
        "MODEL_SERVER_TLS_KEY": "server-key",
        "UPSTREAM_TLS_CA": "ca",
    }
    if mutual:
        settings |= {
            "GATEWAY_TLS_CLIENT_CA": "ca",
            "MODEL_SERVER_TLS_CLIENT_CA": "ca",
            "UPSTREAM_TLS_CERTIFICATE": "client",
            "UPSTREAM_TLS_KEY": "client-key",
        }
    changes = {f"SEPAL_{name}": pem.path(file) for name, file in settings.items()}
    beside = place.beside()
    return Place(beside.data_dir, {**beside.environment, **changes})


def ask(
    place: Place, tier: str, path: str, context: ssl.SSLContext, body: object = None
) -> tuple[int, object]:
    url = f"https://127.0.0.1:{place.environment[f'SEPAL_{tier}_PORT']}{path}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30, context=context) as response:  # noqa: S310
        return response.status, json.load(response)


@pytest.mark.parametrize("mutual", [False, True], ids=["servers' certificates", "and clients'"])
def test_both_hops_speak_tls(trained: Place, pem: Certificates, mutual: bool) -> None:
    place = over_tls(trained, pem, mutual=mutual)
    with serving(place, "iris"):
        client = pem.context(client=mutual)
        status, answer = ask(place, "GATEWAY", "/iris/predict", client, IRIS)
        assert (status, answer) == (200, {"output": "Iris-virginica", "model_name": "log_reg_1"})
        assert ask(place, "GATEWAY", "/readyz", client)[0] == 200
        assert ask(place, "MODEL_SERVER", "/models", client)[0] == 200
        for tier in ("GATEWAY", "MODEL_SERVER"):
            port = place.environment[f"SEPAL_{tier}_PORT"]
            assert asyncio.run(_plain(f"http://127.0.0.1:{port}/livez"))
            with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
                ask(place, tier, "/livez", ssl.create_default_context())
            if mutual:
                with pytest.raises(OSError, match=r"CERTIFICATE_REQUIRED|reset|closed|EOF"):
                    ask(place, tier, "/livez", pem.context(client=False))


async def _plain(url: str) -> bool:
    """Whether somebody listens there who gives plain HTTP no answer."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status >= 400
    except aiohttp.ClientConnectorError:
        return False
    except aiohttp.ClientError:
        return True


def test_a_key_without_its_certificate_is_one_line_that_says_so(trained: Place) -> None:
    environment = {**trained.environment, "SEPAL_GATEWAY_TLS_KEY": "key.pem"}
    run = Place(trained.data_dir, environment).sepal("serve", check=False)
    assert run.returncode == 3
    assert "SEPAL_GATEWAY_TLS_KEY is set, and SEPAL_GATEWAY_TLS_CERTIFICATE is not" in run.stderr
