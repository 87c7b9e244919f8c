"""MLflow as it is called from here: found, without its chatter, and not waited for too long."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from urllib.parse import urlsplit, urlunsplit

from sepal.extras import need

TRACKING_URI = "MLFLOW_TRACKING_URI"

_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""Unless set otherwise. By default MLflow tries for minutes to reach a server that is away."""


@contextmanager
def mlflow() -> Iterator[ModuleType]:
    """MLflow with its warnings and hints off; ConfigurationError if it is not installed."""
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = need("mlflow", "mlflow")
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        yield module


def without_password(uri: str) -> str:
    """A URI as it may be shown and kept."""
    parts = urlsplit(uri)
    return (
        urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri
    )
