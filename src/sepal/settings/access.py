"""Settings of access: who may call, how often, and what browsers may do."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sepal.settings.kinds import Algorithms, Group, LimitsUrl, Names, Networks, Origins, RateText, Seconds


class Access(Group):
    """Access."""

    env: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] = Field(
        "local",
        description="Where this runs, such as local, staging or production. "
        "Anywhere but in local, defaults are strict: access and limits are on.",
    )
    access: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether requests need a key or a token. auto: on unless ENV is local. "
        "Elsewhere than in local, off is refused.",
    )
    keys_file: Path | None = Field(
        None, description="The file of the API keys. The default is DATA_DIR/keys.json."
    )
    token_issuer: str = Field(
        "", description="Who issues the bearer tokens (JWT): their claim iss. Empty: none are taken."
    )
    token_audience: Names = Field(
        (), description="The audiences of which a token must be for one, by commas: its claim aud."
    )
    token_jwks: str = Field(
        "", description="The issuer's public keys: a JWKS file, or the https URL of one."
    )
    token_algorithms: Algorithms = Field(
        ("RS256", "ES256", "EdDSA"), description="How tokens may be signed, by commas."
    )
    token_leeway: Annotated[float, Field(ge=0, le=300)] = Field(
        10.0, description="Seconds that the issuer's clock may differ from ours."
    )
    token_jwks_cache: Seconds = Field(
        300.0, description="Seconds after which the keys at a URL are fetched anew."
    )


class Limits(Group):
    """Limits."""

    limits: Literal["auto", "on", "off"] = Field(
        "auto", description="Whether it is limited how often each may call. auto: if access is on."
    )
    rate: RateText = Field(
        "1000/s",
        description="Requests of a key that has no rate of its own, or of a token's subject, "
        "a second (/s), minute (/m), hour (/h) or day (/d); none for no limit.",
    )
    burst: Annotated[int, Field(ge=0, le=10**9)] = Field(
        0, description="Of these, how many may come at once; 0 for as many as the rate's unit has."
    )
    address_rate: RateText = Field(
        "50/s", description="Requests of an address without key or token; probes of health don't count."
    )
    failure_rate: RateText = Field(
        "20/m", description="Requests of an address that are refused with 401; further ones get 429."
    )
    limits_url: LimitsUrl = Field(
        "",
        description="Where requests are counted, as redis://HOST:PORT/DB, for several gateways together. "
        "By default each gateway process counts its own.",
    )
    limits_timeout: Annotated[float, Field(gt=0, le=5)] = Field(
        0.1, description="Seconds that Redis may take to connect, and to answer."
    )
    limits_failure: Literal["open", "closed"] = Field(
        "open",
        description="While Redis is away: open, each process counts its own; closed, requests get 503.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Addresses or networks of proxies, by commas, whose X-Forwarded-For is believed.",
    )


class Browsers(Group):
    """Browsers."""

    docs: Literal["on", "off"] = Field("on", description="Whether there are /docs and /openapi.json.")
    cors_origins: Origins = Field(
        (),
        description="Origins of pages, by commas, that browsers let call the gateway, "
        "as https://app.example.",
    )
    hsts: Annotated[int, Field(ge=0, le=63_072_000)] = Field(
        0, description="Seconds in the header Strict-Transport-Security; 0 for none."
    )
