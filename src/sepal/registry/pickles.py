"""Pickles of pipelines, and what they need where they are loaded."""

import io
import pickle
from collections.abc import Iterable
from typing import Any

from sepal.errors import ArtefactError

_NOT_AT_THE_SERVER = ("__main__", "model_training", "sepal_found_")


class _Names(pickle.Unpickler):
    """Loads a pickle and notes which modules it needs."""

    def __init__(self, pickled: bytes) -> None:
        super().__init__(io.BytesIO(pickled))
        self.needed: set[tuple[str, str]] = set()

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 (pickle's signature)
        self.needed.add((module, name))
        return super().find_class(module, name)


def pickled(pipeline: object) -> bytes:
    """A pipeline as a pickle; ArtefactError if it needs code that the model server lacks."""
    try:
        content = pickle.dumps(pipeline, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ArtefactError(
            f"The pipeline can't be stored: {error}. It holds a function or an object that is not in any "
            "installed package. Build it from scikit-learn's and numpy's own parts, or from such a package."
        ) from error
    refuse_homeless(f"{module}.{name}" for module, name in needed(content))
    return content


def needed(content: bytes) -> set[tuple[str, str]]:
    """The modules that a pickle needs and the names in them, found by unpickling it."""
    names = _Names(content)
    names.load()
    return names.needed


def refuse_homeless(names: Iterable[str]) -> None:
    """Refuse a pipeline that the model server could not load: it has no training code."""
    homeless = sorted(name for name in names if name.startswith(_NOT_AT_THE_SERVER))
    if homeless:
        raise ArtefactError(
            f"The pipeline contains {', '.join(homeless)}, which the model server does not have. "
            "Build it from scikit-learn's and numpy's own parts, or from an installed package."
        )
