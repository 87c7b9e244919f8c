"""The API is the one in the repository, and breaks no client of the last release."""

import json
from importlib.metadata import version

from tests.api.changes import breaking_changes, may_break
from tests.api.snapshot import RELEASED, SNAPSHOT, document, text


def test_the_snapshot_is_what_the_application_says() -> None:
    said = text(document())
    assert SNAPSHOT.read_text(encoding="utf-8") == said, "renew it: python -m tests.api.snapshot"


def test_nothing_breaks_the_clients_of_the_last_release() -> None:
    released = json.loads(RELEASED.read_text(encoding="utf-8"))
    if not may_break(released["info"]["version"], version("sepal")):
        assert breaking_changes(released, document()) == [], "docs/api-stability.md says what may change"
