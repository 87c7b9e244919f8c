"""Runs wrk, the load generator, and reads what it measured."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).parents[1] / "post.lua"
_MARK = "wrk-says "
_TIMEOUT = "10s"


class WrkError(Exception):
    """wrk is missing, or ended without a result."""


@dataclass(frozen=True)
class Load:
    """What one run of wrk measured. Latencies are in milliseconds; errors are not among `requests`."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return self.requests / self.seconds if self.seconds else 0.0


def require_wrk() -> None:
    """WrkError that says how to get wrk, where it is missing."""
    if shutil.which("wrk") is None:
        raise WrkError(
            "wrk, which makes the load, is not installed. "
            "Debian and Ubuntu: apt-get install wrk. macOS: brew install wrk."
        )


def command(
    url: str, body: Path, concurrency: int, seconds: float, pause_ms: int | None = None
) -> list[str]:
    """One thread of wrk posting the file; `pause_ms` is the mean pause of each connection."""
    whole = max(1, round(seconds))
    options = ["-t1", f"-c{concurrency}", f"-d{whole}s", "--timeout", _TIMEOUT, "-s", str(_SCRIPT)]
    return ["wrk", *options, url, "--", str(body), *([] if pause_ms is None else [str(pause_ms)])]


def parse(output: str) -> Load:
    """The line that post.lua prints; WrkError if there is none."""
    line = next((line for line in output.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        raise WrkError(f"wrk gave no result, but said: {output.strip() or 'nothing'}")
    said = json.loads(line.removeprefix(_MARK))
    return Load(
        requests=said["requests"] - said["status_errors"],
        seconds=said["microseconds"] / 1e6,
        p50=said["p50"] / 1e3,
        p99=said["p99"] / 1e3,
        errors=said["status_errors"] + said["socket_errors"],
    )


@contextmanager
def started(arguments: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """A running wrk; killed at the end, whatever happens."""
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def run(url: str, body: Path, concurrency: int, seconds: float) -> Load:
    """Post the file for so many seconds."""
    with started(command(url, body, concurrency, seconds)) as process:
        output, _ = process.communicate(timeout=seconds + 60)
    return parse(output)
