"""The kinds of values that settings have, and the base of their groups."""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode


class Group(BaseModel):
    """Settings that belong together: its docstring is their heading in docs/operations.md."""

    model_config = ConfigDict(frozen=True, defer_build=True)


Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


def _split(separator: str) -> BeforeValidator:
    def split(value: object) -> object:
        return (
            [part.strip() for part in value.split(separator) if part.strip()]
            if isinstance(value, str)
            else value
        )

    return BeforeValidator(split)


Names = Annotated[tuple[str, ...], NoDecode, _split(",")]
Folders = Annotated[tuple[Path, ...], NoDecode, _split(os.pathsep)]


def _check_locations(locations: tuple[str, ...]) -> tuple[str, ...]:
    for location in locations:
        if not location.startswith("/") and (location.startswith("file:") or "://" not in location):
            raise ValueError(
                f"{location} is neither an absolute folder nor a URL such as s3://bucket/folder"
            )
    return locations


def _check_queue(url: str) -> str:
    if url and not url.startswith(("sqlite:///", "redis://", "rediss://", "postgresql://")):
        raise ValueError("a queue's URL begins with sqlite:///, redis://, rediss:// or postgresql://")
    return url


def _check_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    for network in networks:
        ipaddress.ip_network(network)
    return networks


def _check_limits(url: str) -> str:
    if not url:
        return url
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or not parts.port:
        raise ValueError("it is redis://HOST:PORT/DB or rediss://HOST:PORT/DB, or empty")
    return url


def _check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"https?://[^/?#\s]+", origin):
            raise ValueError(f"{origin} is no origin: write it as https://app.example, with nothing after")
    return origins


Networks = Annotated[tuple[str, ...], NoDecode, AfterValidator(_check_networks), _split(",")]
Origins = Annotated[tuple[str, ...], NoDecode, AfterValidator(_check_origins), _split(",")]
LimitsUrl = Annotated[str, AfterValidator(_check_limits)]
RATE = r"^([1-9]\d{0,8})/([smhd])$|^none$"
"""A number of requests a second, minute, hour or day."""
RateText = Annotated[str, Field(pattern=RATE)]
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""How a token may be signed: by a private key that the gateway does not have. So nothing with HMAC."""
Algorithms = Annotated[tuple[Algorithm, ...], NoDecode, _split(","), Field(min_length=1)]


def _check_endpoint(url: str) -> str:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("an endpoint begins with http:// or https://")
    if url and not urlsplit(url).hostname:
        raise ValueError("an endpoint names a host, as http://127.0.0.1:4318 does")
    return url


Endpoint = Annotated[str, AfterValidator(_check_endpoint)]
Locations = Annotated[tuple[str, ...], NoDecode, AfterValidator(_check_locations), _split(",")]
QueueUrl = Annotated[str, AfterValidator(_check_queue)]
