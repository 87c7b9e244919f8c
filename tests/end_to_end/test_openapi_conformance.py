"""The gateway against its own OpenAPI document, by schemathesis, with both tiers running."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Place, Served, serving

pytestmark = pytest.mark.end_to_end

CONFIG = """
[parameters]
"header.X-Request-Deadline" = "5"  # its form is told in words; short ones are answered with 504

[[operations]]
include-path-regex = "/jobs"
warnings = false  # most made-up jobs are refused, and no made-up id is that of a job

[[operations]]
include-path-regex = "/jobs$"
# A job's options must go together, its places be allowed, its file not be empty (binary strings are
# made without regard to minLength), and its queue not be full: 422, 403, 400, 503.
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 403, 422, 503]

[[operations]]
include-path-regex = "^/(v2/models/.*/infer|.*invocations|predict|predict-proba)$"
# A schema of these protocols can't say which tensors, columns or fields a model takes.
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 404, 422]
checks.negative_data_rejection.expected-statuses = [400, 404, 405, 413, 415, 422]
warnings = false

[checks.negative_data_rejection]
expected-statuses = [400, 405, 413, 415, 422]  # 413: more rows than a request may have
"""

HOOKS = """
from datetime import datetime
import schemathesis
from hypothesis import strategies as st

times = st.datetimes(datetime(2009, 1, 1), datetime(2099, 12, 31)).map(datetime.isoformat)
schemathesis.openapi.format("date-time-local", times)
"""


def test_every_answer_is_as_documented_and_none_is_a_500(served: Served, tmp_path: Path) -> None:
    conforms(served.url, tmp_path, "--max-examples", "60")


def test_with_access_on_every_answer_is_as_documented_and_none_is_given_without_a_key(
    trained: Place, tmp_path: Path
) -> None:
    place = trained.beside()
    keys = {"SEPAL_KEYS_FILE": str(tmp_path / "keys.json")}
    place.environment.update(keys, SEPAL_ENV="production", SEPAL_FAILURE_RATE="none")
    scopes = ("--scope", "predict", "--scope", "bulk", "--rate", "none")
    key = place.sepal("keys", "create", "schemathesis", *scopes).stdout.strip()
    with serving(place) as served:
        assert served.call("/iris/jobs")[0] == 401
        conforms(served.url, tmp_path, "--max-examples", "15", "--header", f"X-API-Key: {key}")


def conforms(url: str, tmp_path: Path, *options: str) -> None:
    """schemathesis finds nothing that is not as the document has it."""
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    (tmp_path / "hooks.py").write_text(HOOKS)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"),
            *(f"{url}/openapi.json", "--seed", "1", *options),
        ],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    assert "No issues found" in run.stdout
