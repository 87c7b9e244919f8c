"""TLS on both hops: the certificates, keys and CAs that the settings name, checked before they are used."""

import ssl
from pathlib import Path
from typing import Literal

from sepal.errors import ConfigurationError
from sepal.settings import Settings


def check_server_files(settings: Settings, tier: Literal["gateway", "model_server"]) -> None:
    """ConfigurationError unless a tier's certificate, key and client CA fit together and can be read."""
    certificate, key, client_ca = (
        getattr(settings, f"{tier}_tls_{name}") for name in ("certificate", "key", "client_ca")
    )
    prefix = f"SEPAL_{tier.upper()}_TLS"
    if client_ca is not None and certificate is None:
        raise ConfigurationError(f"{prefix}_CLIENT_CA={client_ca} needs {prefix}_CERTIFICATE too.")
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), prefix, certificate, key, client_ca)


def upstream_context(settings: Settings) -> ssl.SSLContext:
    """By what the gateway knows the model server, and shows who it is itself."""
    context = ssl.create_default_context()
    certificate, key = settings.upstream_tls_certificate, settings.upstream_tls_key
    if settings.upstream_tls_ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, "SEPAL_UPSTREAM_TLS", certificate, key, settings.upstream_tls_ca, ca_name="CA")
    return context


def _load(
    context: ssl.SSLContext,
    prefix: str,
    certificate: Path | None,
    key: Path | None,
    ca: Path | None,
    ca_name: str = "CLIENT_CA",
) -> None:
    if (certificate is None) != (key is None):
        given, missing = ("KEY", "CERTIFICATE") if certificate is None else ("CERTIFICATE", "KEY")
        raise ConfigurationError(f"{prefix}_{given} is set, and {prefix}_{missing} is not: set both.")
    if certificate is not None and key is not None:
        try:
            context.load_cert_chain(certificate, key, password="")  # else it asks for one
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{prefix}_CERTIFICATE={certificate} with {prefix}_KEY={key} can't be used: "
                f"{_told(error)}. They must be PEM files, the key without a password and that of the "
                "first certificate."
            ) from error
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{prefix}_{ca_name}={ca} can't be used: {_told(error)}. It must be a PEM file of CAs."
            ) from error


def _told(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
