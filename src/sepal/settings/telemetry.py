"""Settings of what is told: log, metrics and traces; and of the command that asks as a client."""

from pathlib import Path
from typing import Literal

from pydantic import Field, HttpUrl, SecretStr

from sepal.settings.kinds import Endpoint, Group, Port, Share


class Telemetry(Group):
    """Log, metrics and traces."""

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


class Client(Group):
    """`sepal predict`."""

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
