"""The folder that BentoML builds a bento from: code, lock, the champions' records and contracts."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import yaml

from sepal import packed
from sepal.errors import ConfigurationError, NotFoundError
from sepal.registry import Version
from sepal.registry.audit import record_hash
from sepal.registry.pack import pack

REQUIREMENTS = "requirements.txt"
_COPIED = ("src/sepal", "deploy/bento")


def lay_out(
    stage: Path,
    bentofile: Path,
    requirements: Path,
    versions: Sequence[Version],
    contract_folders: Iterable[Path],
) -> str:
    """Fill an empty folder with all that goes into the bento; the bento's version.

    The version is Sepal's and a hash of the content, so the same content is the same bento.
    """
    release = distribution("sepal")
    for name in _COPIED:
        shutil.copytree(
            _there(bentofile.parent / name), stage / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(_there(requirements), stage / REQUIREMENTS)
    carried = stage / packed.FOLDER
    for number, folder in enumerate(contract_folders):
        shutil.copytree(
            folder,
            carried / packed.CONTRACTS / f"{number:03}",
            ignore=lambda _folder, names: [name for name in names if not name.endswith(".py")],
        )
    carried.mkdir(exist_ok=True)
    names = {version.model: version.name for version in versions}
    (carried / packed.MODELS).write_text(json.dumps(names) + "\n", encoding="utf-8")
    metadata = stage / f"sepal-{release.version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(
        f"Metadata-Version: 2.1\nName: sepal\nVersion: {release.version}\n", encoding="utf-8"
    )
    options = _options(_there(bentofile), versions, release.version)
    (stage / bentofile.name).write_text(yaml.safe_dump(options, sort_keys=False), encoding="utf-8")
    content = _hash(stage, versions)
    pack(versions, carried / packed.REGISTRY)  # last, since it tells when it was written
    return f"{release.version}-{content[:12]}"


def _options(bentofile: Path, versions: Sequence[Version], release: str) -> Mapping[str, Any]:
    """The bentofile with the versions that are packed, by name."""
    options = yaml.safe_load(bentofile.read_text(encoding="utf-8"))
    labels = {version.model: version.name for version in versions}
    return {
        **options,
        "labels": {**options.get("labels", {}), "sepal": release, **labels},
        "models": [version.tag for version in versions],
    }


def _hash(stage: Path, versions: Iterable[Version]) -> str:
    """SHA-256 of the files' names and contents, and of the versions' records, checksums included."""
    total = hashlib.sha256()
    for path in sorted(path for path in stage.rglob("*") if path.is_file()):
        total.update(
            f"{path.relative_to(stage)}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    for version in versions:
        total.update(f"{version.tag} {record_hash(version)}\n".encode())
    return total.hexdigest()


def _there(path: Path) -> Path:
    if not path.exists():
        error = NotFoundError if path.name == REQUIREMENTS else ConfigurationError
        raise error(f"{path} is not there. A bento is packed from a checkout: run `make bento` in one.")
    return path
