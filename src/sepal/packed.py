"""What a bento carries beside the code, found by its place: champions' records, their models' contracts.

In a bento this file is `BENTO/src/sepal/packed.py`, and what `sepal.packing` put there is
`BENTO/src/packed`. Anywhere else there is nothing packed.
"""

import json
from pathlib import Path

FOLDER = "packed"
REGISTRY = "database.sqlite"
"""A registry with the packed versions alone, each the champion of its model."""
CONTRACTS = "contracts"
"""A folder for each folder of SEPAL_CONTRACTS_PATH, in its order."""
MODELS = "models.json"
"""A JSON object from each packed model to its version's name."""


def folder() -> Path | None:
    """What is packed in the bento that this code is part of; None if it is part of none."""
    packed = Path(__file__).parents[1] / FOLDER
    return packed if (packed.parents[1] / "bento.yaml").is_file() and packed.is_dir() else None


def models() -> tuple[str, ...]:
    """The packed models; none outside of a bento, which means all."""
    packed = folder()
    return tuple(json.loads((packed / MODELS).read_text(encoding="utf-8"))) if packed else ()


def contracts() -> tuple[Path, ...]:
    """The folders of the packed models' contracts, besides those that come with Sepal."""
    packed = folder()
    return tuple(sorted((packed / CONTRACTS).glob("*"))) if packed else ()


def artefacts(packed: Path) -> Path:
    """The folder whose `models/` has the packed versions' artefacts.

    In a container that is the bento itself. A bento that was imported into a BENTOML_HOME
    is `BENTOML_HOME/bentos/NAME/VERSION`, and its models are among that one's.
    """
    bento = packed.parents[1]
    return bento if (bento / "models").is_dir() else bento.parents[2]
