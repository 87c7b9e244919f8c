"""All settings: environment variables `SEPAL_…`, explained in docs/operations.md."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from sepal.settings.access import Access, Browsers, Limits
from sepal.settings.places import Places
from sepal.settings.requests import Bounds, Calls, Requests
from sepal.settings.scoring import Bulk, Jobs, Scoring
from sepal.settings.telemetry import Client, Telemetry
from sepal.settings.tiers import Tiers, Tls
from sepal.settings.urls import base_url


class Settings(
    BaseSettings,
    Places,
    Tiers,
    Requests,
    Calls,
    Bounds,
    Scoring,
    Bulk,
    Jobs,
    Access,
    Limits,
    Browsers,
    Tls,
    Telemetry,
    Client,
):
    """What can be set: each as `SEPAL_` and its name in capitals. Below is what follows from several."""

    model_config = SettingsConfigDict(
        env_prefix="SEPAL_", frozen=True, extra="forbid", env_ignore_empty=True, defer_build=False
    )

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
    def service_url(self) -> str:
        """Where a client on this machine finds the service."""
        if self.client_url is not None:
            return str(self.client_url)
        scheme = "https" if self.gateway_tls_certificate else "http"
        return base_url(scheme, self.gateway_host, self.gateway_port)

    @property
    def upstream(self) -> str:
        """The model server's base URL, with no slash at the end."""
        if self.model_server_url is not None:
            return str(self.model_server_url).rstrip("/")
        scheme = "https" if self.model_server_tls_certificate else "http"
        return base_url(scheme, self.model_server_host, self.model_server_port)
