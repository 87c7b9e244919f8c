"""Settings of the two tiers as processes: where they listen, how they start and stop, TLS."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, HttpUrl

from sepal.settings.kinds import Count, Group, Port, Seconds


class Tiers(Group):
    """The two tiers."""

    gateway_host: str = Field("127.0.0.1", description="Address that the gateway listens on.")
    gateway_port: Port = Field(8000, description="Port that the gateway listens on.")
    gateway_workers: Count = Field(1, description="Processes of the gateway, on one port.")
    model_server_host: str = Field("127.0.0.1", description="Address that the model server listens on.")
    model_server_port: Port = Field(3000, description="Port that the model server listens on.")
    model_server_workers: Count = Field(1, description="Processes of the model server, on one port.")
    model_server_url: HttpUrl | None = Field(
        None,
        description="Where the gateway finds the model server. "
        "The default is made from MODEL_SERVER_HOST and MODEL_SERVER_PORT.",
    )
    start_timeout: Seconds = Field(60.0, description="Seconds that `sepal serve` waits for both tiers.")
    stop_timeout: Seconds = Field(
        15.0, description="Seconds that a tier may take to finish its requests when it is stopped."
    )
    drain_delay: Annotated[float, Field(ge=0, le=3600)] = Field(
        0.0,
        description="Seconds for which a tier goes on taking connections after SIGTERM, "
        "while /readyz says no already, so that load balancers turn away from it first.",
    )


class Tls(Group):
    """Certificates."""

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
