"""Artefacts in skops' format, which names its types: none is loaded that the server's settings don't trust.

https://skops.readthedocs.io/en/stable/persistence.html
"""

from collections.abc import Collection
from typing import Any

from sepal.errors import ArtefactError
from sepal.extras import need

SETTING = "SEPAL_TRUSTED_TYPES"

OWN_TYPES = frozenset(
    f"sepal.scoring.adapters.{name}" for name in ("NamedClassifier", "NamedRegressor", "Column", "Source")
)
"""Sepal's own, which are as trusted as the server that loads them."""


def dumps(pipeline: object) -> bytes:
    """A pipeline as a skops file."""
    dumped: bytes = need("skops.io", "skops").dumps(pipeline)
    return dumped


def loads(content: bytes, trusted: Collection[str], what: str) -> Any:  # noqa: ANN401 (any scikit-learn estimator)
    """The pipeline in a skops file; ArtefactError names each type in it that is not trusted.

    Types that skops trusts itself need not be among the trusted ones.
    """
    skops = need("skops.io", "skops")
    trusted = {*trusted, *OWN_TYPES}
    untrusted = sorted({*untrusted_types(content)} - trusted)
    if untrusted:
        raise ArtefactError(
            f"{what} contains types that are not trusted here: {', '.join(untrusted)}. If you trust them, "
            f"name them to whatever loads it, beside those already there: {SETTING}={','.join(untrusted)}"
        )
    return skops.loads(content, trusted=sorted(trusted))


def untrusted_types(content: bytes) -> list[str]:
    """The types in a skops file that skops does not trust by itself."""
    found: list[str] = need("skops.io", "skops").get_untrusted_types(data=content)
    return found
