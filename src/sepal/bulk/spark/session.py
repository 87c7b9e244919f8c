"""Opens Spark, and says in a line what keeps it from running or what its job failed of."""

import importlib
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sepal import errors
from sepal.errors import ClusterError, ConfigurationError, SepalError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_OF_OURS = re.compile(r"sepal\.errors\.(\w+Error): (.*)")
_CAUSE = re.compile(r"^(?:Caused by: )?[\w.$]+(?:Error|Exception): .*", re.MULTILINE)

_CORE = {
    "spark.python.worker.reuse": "true",
    "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",  # no .crc beside each file
}
_SQL = {
    "spark.sql.caseSensitive": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.execution.arrow.useLargeVarTypes": "false",
    "spark.sql.sources.partitionOverwriteMode": "static",
}


@contextmanager
def opened(master: str | None) -> Iterator["SparkSession"]:
    """A session with settings of its own, on the Spark that runs here already or on one that is started.

    `master` is by default what spark-submit or Spark's own configuration says, and
    local[*] if they say nothing. Raises ConfigurationError if Spark can't be started.
    """
    try:
        from pyspark.sql import SparkSession

        importlib.import_module("pandas")  # mapInArrow refuses to work without it
    except ImportError as error:
        raise ConfigurationError(
            f"The engine spark needs pyspark and pandas ({error}): pip install 'sepal[spark]'"
        ) from error
    running = SparkSession.getActiveSession()
    started = running or start(master)
    try:
        session = started.newSession()
        for name, value in _SQL.items():
            session.conf.set(name, value)
        yield session
    finally:
        if running is None:
            started.stop()


def start(master: str | None) -> "SparkSession":
    """Start Spark; ConfigurationError if it can't be."""
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    _check_java()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("sepal score")
    for name, value in _CORE.items():
        builder = builder.config(name, value)
    if master is not None:
        builder = builder.master(master)
    try:
        with about_pandas_3_silent():
            return builder.getOrCreate()
    except (PySparkException, _java_error()) as error:
        raise ConfigurationError(
            f"Spark can't be started: {_first_line(error)} It needs Java 17 or later (JAVA_HOME says "
            "which) and a master that can be reached; what it printed above says more."
        ) from error


@contextmanager
def about_pandas_3_silent() -> Iterator[None]:
    """Without pyspark's warning of pandas 3, of which nothing that is done here makes use."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        yield


def _check_java() -> None:
    """ConfigurationError if there is no Java; under spark-submit it runs already."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None and "PYSPARK_GATEWAY_PORT" not in os.environ:
        raise ConfigurationError(
            f"The engine spark needs Java 17 or later, and there is none in {home or 'PATH'}. Install it, "
            "such as openjdk-17-jre-headless, or let JAVA_HOME name its folder."
        )


@contextmanager
def told_shortly() -> Iterator[None]:
    """Raise what failed on the cluster as an error of ours: what it was there, or a ClusterError."""
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, _java_error()) as error:
        raise _translated(str(error)) from error


def _translated(text: str) -> SepalError:
    if ours := _OF_OURS.search(text):
        kind = getattr(errors, ours[1], ClusterError)
        translated: SepalError = kind(ours[2])
        return translated
    causes = _CAUSE.findall(text)
    told = causes[-1] if causes else text.strip().partition("\n")[0]
    return ClusterError(f"Spark's job failed: {told} Nothing is published; the same command begins anew.")


def _java_error() -> type[Exception]:
    from py4j.protocol import Py4JError

    found: type[Exception] = Py4JError
    return found


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
