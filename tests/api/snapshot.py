"""The gateway's OpenAPI document in the repository.

`python -m tests.api.snapshot` writes docs/openapi.json as the application says it now;
with `--release` docs/openapi-released.json too, against which later changes are judged.
"""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sepal.gateway.app import create_app
from sepal.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
SNAPSHOT = DOCS / "openapi.json"
RELEASED = DOCS / "openapi-released.json"


def document(stamp: str = "unreleased") -> dict[str, Any]:
    """What the application says with its default settings, of the models that ship."""
    found: dict[str, Any] = create_app(Settings()).openapi()
    return {**found, "info": {**found["info"], "version": stamp}}


def text(document: dict[str, Any]) -> str:
    """Sorted, so that only what differs differs."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith("SEPAL_")]:
        del os.environ[name]
    SNAPSHOT.write_text(text(document()), encoding="utf-8")
    if "--release" in sys.argv:
        RELEASED.write_text(text(document(version("sepal"))), encoding="utf-8")
