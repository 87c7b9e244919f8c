"""The one table of settings: environment variables `SEPAL_…`, explained in docs/operations.md."""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, HttpUrl, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sepal import packed
from sepal.errors import ConfigurationError

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


def _default_data_dir() -> Path:
    """`data/` of the checkout that this runs from, or the user's data folder if it was installed.

    In a bento it is what the bento carries.
    """
    if in_bento := packed.folder():
        return in_bento
    root = Path(__file__).parents[2]
    if (root / "pyproject.toml").is_file():
        return root / "data"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "sepal"


class Settings(BaseSettings):
    """What can be set. Every field is `SEPAL_` and its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="SEPAL_", frozen=True, extra="forbid", env_ignore_empty=True
    )

    data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="The folder of the data, the database and the artefacts. "
        "The default is the checkout's data/, or ~/.local/share/sepal for an installed package.",
    )
    database_url: str = Field(
        "", description="SQLAlchemy URL of the registry. The default is DATA_DIR/database.sqlite."
    )
    models: Names = Field(
        default_factory=packed.models,
        description="Models to serve, separated by commas. The default is all; in a bento, those packed.",
    )
    contracts_path: Folders = Field(
        default_factory=packed.contracts,
        description="Folders with further contract files, separated like PATH.",
    )
    recipes_path: Folders = Field((), description="Folders with further recipe files, separated like PATH.")
    artefact_format: Literal["pickle", "skops"] = Field(
        "pickle", description="How new versions are stored. Versions of either format are loaded."
    )
    trusted_types: Names = Field(
        (),
        description="Types that may be in a skops file besides those that skops trusts, by commas.",
    )

    gateway_host: str = Field("127.0.0.1", description="Address that the gateway listens on.")
    gateway_port: Port = Field(8000, description="Port that the gateway listens on.")
    model_server_host: str = Field("127.0.0.1", description="Address that the model server listens on.")
    model_server_port: Port = Field(3000, description="Port that the model server listens on.")
    model_server_url: HttpUrl | None = Field(
        None,
        description="Where the gateway finds the model server. "
        "The default is made from MODEL_SERVER_HOST and MODEL_SERVER_PORT.",
    )

    gateway_workers: Count = Field(1, description="Processes of the gateway, on one port.")
    model_server_workers: Count = Field(1, description="Processes of the model server, on one port.")

    max_rows: Count = Field(10_000, description="Rows in one request; more get 413.")
    max_body_bytes: Count = Field(16 * 2**20, description="Bytes in a request's body; more get 413.")
    request_timeout: Seconds = Field(
        5.0,
        description="Seconds that a request may wait for its answer; longer gets 504. "
        "A client may ask for less, by the header X-Request-Deadline.",
    )
    connect_timeout: Seconds = Field(
        1.0, description="Seconds that connecting to the model server may take; longer gets 503."
    )
    upstream_connections: Count = Field(
        64,
        description="Connections from one gateway process to the model server; further calls wait.",
    )
    coalesce: Literal["on", "off"] = Field(
        "on", description="Whether rows of concurrent requests share calls to the model server."
    )
    fast_route: Literal["on", "off"] = Field(
        "on", description="Whether sound requests go around FastAPI's own handling, which costs the most."
    )
    max_call_rows: Count = Field(10_000, description="Rows in one call to the model server.")
    max_waiting_rows: Count = Field(
        100_000, description="Rows of one model that may wait in a gateway process; more get 503."
    )
    concurrent_calls: Count = Field(
        1, description="Calls for one model that a gateway process has under way at once."
    )
    retry_after: Annotated[int, Field(ge=1, le=3600)] = Field(
        1, description="Seconds in the Retry-After header of a 503 of which nothing better is known."
    )
    ready_cache: Annotated[float, Field(ge=0, le=60)] = Field(
        1.0, description="Seconds for which an answer of /readyz is used again."
    )

    compatibility: Literal["on", "off"] = Field(
        "on", description="Whether the paths of older services are served: /predict, /predict-proba."
    )
    default_model: str = Field(
        "",
        description="The model that is meant where a protocol's path names none: /invocations, /predict. "
        "The default is the only one that is served.",
    )

    compiled_scoring: Literal["on", "off"] = Field(
        "on",
        description="Whether simple pipelines are scored without scikit-learn's checks of each step.",
    )
    express_lane: Literal["on", "off"] = Field(
        "on",
        description="Whether the model server scores a lone call outside BentoML's dispatcher.",
    )
    max_batch_rows: Annotated[int, Field(ge=2)] = Field(
        10_000, description="Rows that the model server scores in one go; larger calls are split."
    )
    max_batch_wait: Seconds = Field(
        60.0,
        description="Seconds after which the model server refuses a call that waits for its batch.",
    )

    bulk_memory: Annotated[ByteSize, Field(ge=2**26)] = Field(
        ByteSize(500 * 10**6), description="Bytes that a bulk run works in, however large its input."
    )
    bulk_workers: Annotated[int, Field(ge=0, le=64)] = Field(
        0, description="Threads of a bulk run that score; 0 for as many as there are cores, up to 4."
    )
    bulk_span: Annotated[ByteSize, Field(ge=1)] = Field(
        ByteSize(128 * 2**20), description="Bytes of a file that one task of the engine spark scores."
    )
    bulk_columns: Count = Field(10_000, description="Columns that an input of a bulk run may have.")
    swap_poll: Seconds = Field(
        0.5, description="Seconds between two looks of the model server for a new champion or trial."
    )
    shadow_time: Annotated[float, Field(gt=0, le=1)] = Field(
        0.03,
        description="Part of a worker's time that a shadow trial may take; what needs more is dropped.",
    )
    shadow_rows: Count = Field(
        1000, description="Rows that may wait in a worker for a shadow trial; further ones are dropped."
    )
    trial_write: Annotated[float, Field(ge=0.05, le=60)] = Field(
        1.0, description="Seconds between two times that a worker writes down what a trial has counted."
    )

    jobs_queue_url: QueueUrl = Field(
        "",
        description="Where jobs are kept and queued: sqlite:///FILE, redis://… or postgresql://…. "
        "The default is DATA_DIR/jobs.sqlite.",
    )
    jobs_locations: Locations = Field(
        (),
        description="Folders and URL prefixes, separated by commas, below which jobs may read and write. "
        "By default none: input is uploaded, output downloaded.",
    )
    jobs_upload_bytes: Annotated[ByteSize, Field(ge=1)] = Field(
        ByteSize(100 * 10**6), description="Bytes of one upload; more get 413."
    )
    jobs_uploads: Count = Field(
        4, description="Uploads that a gateway process receives at once; more get 503."
    )
    jobs_queued: Count = Field(100, description="Jobs of one model that may be queued; more get 503.")
    jobs_kept: Count = Field(
        1000, description="Finished jobs of one model that are kept; the oldest go first."
    )
    jobs_keep: Annotated[float, Field(gt=0, le=3650)] = Field(
        7.0, description="Days after which a finished job is removed, with its upload and its result."
    )
    jobs_lease: Seconds = Field(
        30.0, description="Seconds without a sign of life after which another worker takes up a job."
    )
    jobs_retries: Annotated[int, Field(ge=0, le=1000)] = Field(
        5,
        description="How often in a row a job is tried again that got no further: "
        "its worker died, a disk was full, another run had its output.",
    )
    jobs_retry_pause: Seconds = Field(
        10.0, description="Seconds before a job is tried again; doubled each time in a row."
    )

    retry_budget: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1,
        description="Retries of calls to the model server, as a part of all calls; 0 for none.",
    )
    breaker_failures: Count = Field(
        3,
        description="Failed calls in a row after which the model server is left alone until it answers.",
    )
    max_requests: Count = Field(
        1000, description="Requests that a gateway process has under way at once; more get 503."
    )
    max_connections: Count = Field(
        4096, description="Connections of clients to a gateway process; more get 503 and are closed."
    )
    max_header_bytes: Annotated[int, Field(ge=1024, le=2**20)] = Field(
        32 * 2**10, description="Bytes of a request's head, its URL included; more get 431."
    )
    client_timeout: Seconds = Field(
        10.0,
        description="Seconds that a client may take to send a request, "
        "with one more for each 10,000 bytes; or to take up an answer. Slower ones are cut off.",
    )
    keep_alive: Seconds = Field(
        75.0, description="Seconds after which the gateway closes a connection that nobody uses."
    )
    drain_delay: Annotated[float, Field(ge=0, le=3600)] = Field(
        0.0,
        description="Seconds for which a tier goes on taking connections after SIGTERM, "
        "not ready already, so that load balancers turn away from it first.",
    )
    gateway_tls_certificate: Path | None = Field(
        None, description="PEM file with the gateway's certificate and its chain; with it, HTTPS only."
    )
    gateway_tls_key: Path | None = Field(None, description="PEM file with the key of that certificate.")
    gateway_tls_client_ca: Path | None = Field(
        None, description="PEM file with the CAs of client certificates; with it, each client needs one."
    )
    model_server_tls_certificate: Path | None = Field(
        None, description="PEM file with the model server's certificate and its chain; HTTPS only."
    )
    model_server_tls_key: Path | None = Field(
        None, description="PEM file with the key of that certificate."
    )
    model_server_tls_client_ca: Path | None = Field(
        None, description="PEM file with the CAs of the gateway's certificate; with it, it needs one."
    )
    upstream_tls_ca: Path | None = Field(
        None,
        description="PEM file with the CAs of the model server's certificate. The default is the system's.",
    )
    upstream_tls_certificate: Path | None = Field(
        None, description="PEM file with the certificate that the gateway shows to the model server."
    )
    upstream_tls_key: Path | None = Field(None, description="PEM file with the key of that certificate.")
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
    docs: Literal["on", "off"] = Field("on", description="Whether there are /docs and /openapi.json.")
    cors_origins: Origins = Field(
        (),
        description="Origins of pages, by commas, that browsers let call the gateway, "
        "as https://app.example.",
    )
    hsts: Annotated[int, Field(ge=0, le=63_072_000)] = Field(
        0, description="Seconds in the header Strict-Transport-Security; 0 for none."
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="How lines of the log look: one JSON object each, or text for people."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="The least that is logged. Above info only requests that failed here have a line.",
    )
    log_payloads: Share = Field(
        0.0, description="Share of the requests whose bodies and answers are logged, from 0 to 1."
    )
    metrics_port: Port | None = Field(
        None,
        description="Port of the gateway's metrics, to keep them off its own. "
        "By default they are at /metrics of GATEWAY_PORT.",
    )
    model_server_metrics_port: Port | None = Field(
        None,
        description="Port of the model server's metrics. "
        "By default they are at /metrics of MODEL_SERVER_PORT.",
    )
    metrics_host: str = Field(
        "", description="Address of both ports of metrics. The default is the tier's own address."
    )
    traces_endpoint: Endpoint = Field(
        "",
        description="Where traces go over OTLP/HTTP, such as http://127.0.0.1:4318. "
        "The default is OTEL_EXPORTER_OTLP_ENDPOINT; without it nothing is traced.",
    )
    traces_sample: Share = Field(
        1.0, description="Share of the requests that are traced, where the caller has not decided it."
    )
    client_url: HttpUrl | None = Field(
        None,
        description="Where `sepal predict` finds the service. "
        "The default is made from GATEWAY_HOST and GATEWAY_PORT.",
    )
    client_api_key: SecretStr | None = Field(
        None, description="Key that `sepal predict` sends, as X-API-Key."
    )
    client_token: SecretStr | None = Field(None, description="Bearer token that `sepal predict` sends.")
    client_ca: Path | None = Field(
        None,
        description="PEM file of the authority by which `sepal predict` knows the service.",
    )

    start_timeout: Seconds = Field(60.0, description="Seconds that `sepal serve` waits for both tiers.")
    stop_timeout: Seconds = Field(
        15.0, description="Seconds that a tier may take to finish its requests when it is stopped."
    )

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the registry."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'database.sqlite'}"

    @property
    def access_is_on(self) -> bool:
        """Whether requests need a key or a token."""
        return self.env != "local" if self.access == "auto" else self.access == "on"

    @property
    def limits_are_on(self) -> bool:
        """Whether it is limited how often each may call."""
        return self.access_is_on if self.limits == "auto" else self.limits == "on"

    @property
    def keys(self) -> Path:
        """The file of the API keys."""
        return self.keys_file or self.data_dir.resolve() / "keys.json"

    @property
    def jobs_queue(self) -> str:
        """URL of the queue of jobs."""
        return self.jobs_queue_url or f"sqlite:///{self.data_dir.resolve() / 'jobs.sqlite'}"

    @property
    def jobs_folder(self) -> Path:
        """The folder of the uploads and results of jobs."""
        return self.data_dir.resolve() / "jobs"

    @property
    def bentoml_home(self) -> Path:
        """The folder that BentoML calls BENTOML_HOME; its model store holds the artefacts."""
        if self.data_dir == packed.folder():
            return packed.artefacts(self.data_dir)
        return self.data_dir.resolve() / "bentoml"

    @property
    def bentoml_environment(self) -> dict[str, str]:
        """What BentoML must find in the environment when it is imported."""
        untracked = {"BENTOML_DO_NOT_TRACK": "True"}
        if self.data_dir == packed.folder():  # which may be read-only: BENTOML_HOME is not for Sepal to say
            return untracked
        return {"BENTOML_HOME": str(self.bentoml_home), **untracked}

    @property
    def service_url(self) -> str:
        """Where a client on this machine finds the service."""
        return (
            str(self.client_url) if self.client_url else f"http://{self.gateway_host}:{self.gateway_port}"
        )

    @property
    def upstream(self) -> str:
        """The model server's base URL, with no slash at the end."""
        if self.model_server_url is not None:
            return str(self.model_server_url).rstrip("/")
        scheme = "https" if self.model_server_tls_certificate else "http"
        return f"{scheme}://{self.model_server_host}:{self.model_server_port}"


def load_settings(**given: object) -> Settings:
    """The settings from the environment, but for those that are given and not None.

    ConfigurationError naming the variable and what is wrong.
    """
    try:
        return Settings.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(
            f"SEPAL_{'_'.join(map(str, e['loc'])).upper()}={_shown(e['input'])}: {e['msg']}"
            for e in error.errors()
        )
        raise ConfigurationError(f"{wrong}. docs/operations.md lists the settings.") from error


def _shown(value: object) -> str:
    """A wrong value, without the name and password that a URL may have."""
    return re.sub(r"//[^/@]*@", "//…@", repr(value))
