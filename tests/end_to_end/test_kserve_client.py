"""kserve's own client against the gateway; in an environment of its own, since kserve pins a lot."""

import json
import os
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Served
from tests.end_to_end.test_protocols import NAMES, check_iris, iris_rows, native, run

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(600)]


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A Python that has kserve: the one that SEPAL_TEST_KSERVE names, or a new one."""
    if given := os.environ.get("SEPAL_TEST_KSERVE"):
        return given
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "kserve")], check=True)
    made = str(tmp_path / "kserve" / "bin" / "python")
    installed = subprocess.run(
        [made, "-m", "pip", "install", "-q", "kserve>=0.15"], capture_output=True, text=True, check=False
    )
    if installed.returncode:
        pytest.skip(f"pip can't install kserve here: {installed.stderr[-300:]}")
    return made


def test_kserves_client_with_binary_and_json_tensors(served: Served, tmp_path: Path, python: str) -> None:
    rows = iris_rows()
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    found = run("kserve_rest.py", served.url, str(tmp_path / "rows.json"), python=python)
    expected = native(served, "iris", [dict(zip(NAMES, row, strict=True)) for row in rows])

    assert (found["live"], found["ready"], found["model ready"]) == (True,) * 3
    assert found["id"] == "42"
    check_iris(found, expected[:1], "one")
    for way in ("many", "many in json", "many, binary back"):
        check_iris(found, expected, way)
        assert found[way] == found["many"]
    singles = [list(map(float, array("f", row))) for row in rows]
    check_iris(
        found, native(served, "iris", [dict(zip(NAMES, row, strict=True)) for row in singles]), "fp32"
    )
    assert found["selected"] == ["probabilities"]
    assert found["wrong shape"][0] == found["wrong value"][0] == 400
    assert "[1000, 3] should be [rows, 4]" in found["wrong shape"][1]
    assert "0/SepalLengthCm: Input should be greater than 0" in found["wrong value"][1]
    assert found["other model"][0] == 404
