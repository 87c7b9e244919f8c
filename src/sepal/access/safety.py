"""What must not be left open: settings with which a gateway refuses to start."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from sepal.access import jwks
from sepal.access.keys import check_mode, parse
from sepal.errors import ConfigurationError
from sepal.settings import Settings

_OURSELVES = ("127.0.0.1", "::1", "localhost")


def check(settings: Settings) -> None:
    """ConfigurationError naming every setting of access that is not safe, and the way out."""
    faults = [*_faults(settings)]
    if faults:
        raise ConfigurationError(" ".join(faults))


def remarks(settings: Settings) -> Iterator[str]:
    """What is allowed in local, and worth a warning."""
    if not settings.access_is_on and settings.gateway_host not in _OURSELVES:
        yield (
            f"Everybody who reaches {settings.gateway_host}:{settings.gateway_port} may call, without "
            "a key: set SEPAL_ACCESS=on, or SEPAL_ENV to something else than local."
        )
    if settings.limits_are_on and settings.gateway_workers > 1 and not settings.limits_url:
        yield (
            f"Each of {settings.gateway_workers} gateway processes counts its own requests, so limits are "
            "that many times as high: set SEPAL_LIMITS_URL to a Redis."
        )


def _faults(settings: Settings) -> Iterator[str]:
    local = settings.env == "local"
    issuer = settings.token_issuer, settings.token_audience, settings.token_jwks
    if not local and not settings.access_is_on:
        yield f"SEPAL_ACCESS=off is for SEPAL_ENV=local alone, and this is {settings.env}: leave it out."
    if any(issuer) and not all(issuer):
        yield "SEPAL_TOKEN_ISSUER, SEPAL_TOKEN_AUDIENCE and SEPAL_TOKEN_JWKS go together: set all or none."
    if not local and settings.token_jwks.startswith("http://"):
        yield f"SEPAL_TOKEN_JWKS={settings.token_jwks} can be changed on its way: use https."
    if settings.token_jwks:
        yield from _faults_of_jwks(settings)
    if not local and "*" in settings.cors_origins:
        yield "SEPAL_CORS_ORIGINS=* lets every page call: name the origins."
    if not settings.access_is_on:
        return
    if settings.keys.exists():
        try:
            check_mode(settings.keys, settings.keys.stat().st_mode)
            parse(settings.keys.read_bytes(), settings.keys)
        except (OSError, ConfigurationError) as error:
            yield f"The API keys can't be read: {error}"
    elif not any(issuer):
        yield (
            f"Requests need a key (SEPAL_ENV={settings.env}, SEPAL_ACCESS={settings.access}), and there is "
            f"no {settings.keys}. Make one: sepal keys create NAME --scope predict. "
            "Or set SEPAL_TOKEN_ISSUER, SEPAL_TOKEN_AUDIENCE and SEPAL_TOKEN_JWKS."
        )


def _faults_of_jwks(settings: Settings) -> Iterator[str]:
    """A URL may be away for now; a file is there."""
    source = settings.token_jwks
    if jwks.is_url(source):
        if not urlsplit(source).hostname:
            yield f"SEPAL_TOKEN_JWKS={source} names no host."
    elif "://" in source:
        yield f"SEPAL_TOKEN_JWKS={source} is neither a file nor an https URL."
    else:
        try:
            jwks.parse(Path(source).read_bytes(), settings.token_algorithms)
        except (OSError, ValueError) as error:
            yield f"SEPAL_TOKEN_JWKS={source} can't be read: {error}. It must be a JWKS file."
