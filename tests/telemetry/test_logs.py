"""The log: every logger's lines alike, as JSON or for people, from the level on that is asked for."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, structlog
from sepal.settings import load_settings
from sepal.telemetry.correlation import CURRENT
from sepal.telemetry.logs import log_of_process

noisy = logging.getLogger("bentoml.serve")
noisy.addHandler(logging.StreamHandler())
noisy.propagate = False
settings = load_settings()
log = log_of_process(settings)
assert log_of_process(settings) is log

class Call:
    request_ids = ["a", "b"]

class Request:
    request_ids = ("c",)

logging.getLogger("sepal.x").info("ours %s", "in words")
logging.getLogger("sepal.x").debug("details")
noisy.info("theirs")
noisy.warning("their warning")
structlog.get_logger("sepal.y").info("bound", rows=3)
CURRENT.set(Call())
logging.getLogger("sepal.x").warning("of two")
CURRENT.set(Request())
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("sepal.x").exception("of one")
log.event("request_metrics", rows=1)
log.event("hidden", level="debug")
"""


def lines(**settings: str) -> list[str]:
    environment = {f"SEPAL_{name.upper()}": value for name, value in settings.items()}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PYTHONPATH": ":".join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stderr == ""
    return ended.stdout.splitlines()


def test_every_line_is_a_json_object_that_names_its_requests() -> None:
    said = [json.loads(line) for line in lines()]
    assert [(line["level"], line["event"]) for line in said] == [
        ("info", "ours in words"),
        ("warning", "their warning"),
        ("info", "bound"),
        ("warning", "of two"),
        ("error", "of one"),
        ("info", "request_metrics"),
    ]
    assert said[2]["rows"] == 3
    assert said[3]["request_ids"] == ["a", "b"]
    assert said[4]["request_id"] == "c"
    assert "ZeroDivisionError" in said[4]["exception"]
    assert all(line["timestamp"].endswith("Z") for line in said)
    assert said[0]["logger"] == "sepal.x"


def test_people_get_text() -> None:
    said = lines(log_format="console")
    assert "ours in words" in said[0]
    assert "request_metrics" in said[-1]
    assert "rows=1" in said[-1]
    with pytest.raises(json.JSONDecodeError):
        json.loads(said[0])


def test_only_lines_from_the_level_on_are_written() -> None:
    assert [json.loads(line)["event"] for line in lines(log_level="error")] == ["of one"]
    assert "details" in [json.loads(line)["event"] for line in lines(log_level="debug")]
