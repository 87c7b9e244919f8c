"""Artefacts: fitted pipelines as files in BentoML's model store, checked before they are loaded."""

import hashlib
import importlib
import importlib.metadata
import os
import pickle
import platform
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType
from typing import Any, Self

from sepal.durable import flush_folder, write
from sepal.errors import ArtefactError
from sepal.registry import skops_format
from sepal.registry.pickles import pickled, refuse_homeless
from sepal.registry.staging import locked_folder
from sepal.registry.versions import Format, Version
from sepal.settings import Settings

FILES: Mapping[Format, str] = {"pickle": "model.pkl", "skops": "model.skops"}
"""The artefact's file in each format."""

STORED_AS = "artefact"
"""Under this name a version's details have its artefact's format and file, unless it is a pickle."""

EVALUATOR = "evaluator.npz"
REPORT = "report.html"
"""The report of a version's training, beside its artefact; it comes later, and may be missing."""
EVALUATOR_SHA256 = "evaluator_sha256"
"""Under this name a version's details have the SHA-256 of its dumped evaluator."""

_LIBRARIES = ("scikit-learn", "numpy")


def libraries() -> dict[str, str]:
    """The releases, here, of what an artefact depends on."""
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


class ArtefactStore:
    """The model store inside a BENTOML_HOME: one folder `models/MODEL/VERSION` an artefact.

    BentoML's own functions take no locks and rewrite files in place, so a folder is
    made elsewhere and moved to its place by one rename.

    New artefacts are written in the format `writes`; those of every format are read. Of a
    skops file only `trusted` types are loaded.
    """

    def __init__(
        self, bentoml_home: Path, writes: Format = "pickle", trusted: Collection[str] = ()
    ) -> None:
        self.home = bentoml_home
        self._writes = writes
        self._trusted = trusted

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The store that the settings name."""
        return cls(settings.bentoml_home, settings.artefact_format, settings.trusted_types)

    def path(self, tag: str, stored_as: Format = "pickle") -> Path:
        """Where the artefact of a tag `MODEL:VERSION` is, or would be."""
        return self.folder(tag) / FILES[stored_as]

    @contextmanager
    def stage(self, pipeline: object, evaluator: bytes | None = None) -> Iterator["StagedArtefact"]:
        """Write a pipeline to a folder of its own, durably; the folder is gone at the end."""
        content = self._dumped(pipeline)
        with locked_folder(self.home / "staging") as folder:
            _import_bentoml()
            write(folder / FILES[self._writes], content)
            if evaluator is not None:
                write(folder / EVALUATOR, evaluator)
            yield StagedArtefact(self, folder, hashlib.sha256(content).hexdigest(), self._writes)

    def load(self, version: Version) -> Any:  # noqa: ANN401 (any scikit-learn estimator)
        """Load a version's pipeline, once its checksum and library versions are found to match.

        Raises ArtefactError naming the version and what is wrong with it.
        """
        content = self.content(version)
        _check_libraries(version)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                if stored_as(version) == "skops":
                    return skops_format.loads(content, self._trusted, version.tag)
                return pickle.loads(content)  # noqa: S301 (the checksum is the registry's)
            except ArtefactError:
                raise
            except Exception as error:
                raise ArtefactError(f"{version.tag} can't be loaded: {error}.") from error

    def content(self, version: Version) -> bytes:
        """A version's artefact as it was registered; ArtefactError if it is not there, or another."""
        return self._read_checked(version, FILES[stored_as(version)], version.artefact_sha256)

    def check(self, version: Version) -> None:
        """Raise ArtefactError if a file of a version is not there, or not as it was registered."""
        self.content(version)
        if (sha256 := version.details.get(EVALUATOR_SHA256)) is not None:
            self._read_checked(version, EVALUATOR, sha256)

    def stamp(self, version: Version) -> tuple[object, ...]:
        """What differs once `check` may find otherwise, told without reading the files."""
        evaluator = version.details.get(EVALUATOR_SHA256)
        names = (FILES[stored_as(version)], *((EVALUATOR,) if evaluator else ()))
        files = [_look(self.folder(version.tag) / name) for name in names]
        return (version.tag, version.artefact_sha256, evaluator, *files)

    def load_evaluator(self, version: Version) -> bytes | None:
        """A version's dumped evaluator, if it has one, once all that `load` checks is found to match.

        It answers without scikit-learn, whose import takes a second and 150 MB.
        """
        if (sha256 := version.details.get(EVALUATOR_SHA256)) is None:
            return None
        self.content(version)
        _check_libraries(version)
        return self._read_checked(version, EVALUATOR, sha256)

    def _dumped(self, pipeline: object) -> bytes:
        """A pipeline in the format that is written, once it is known that it can be loaded again."""
        if self._writes == "pickle":
            return pickled(pipeline)
        content = skops_format.dumps(pipeline)
        refuse_homeless(skops_format.untrusted_types(content))
        skops_format.loads(content, self._trusted, "The pipeline")
        return content

    def _read_checked(self, version: Version, name: str, sha256: str) -> bytes:
        path = self.folder(version.tag) / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ArtefactError(f"{version.tag} can't be read: {error}. Restore its file.") from error
        if (found := hashlib.sha256(content).hexdigest()) != sha256:
            raise ArtefactError(
                f"{version.tag} is not the artefact that was registered: {path} has SHA-256 {found}, "
                f"the registry has {sha256}. Restore its file."
            )
        return content

    def place(self, made: Path, tag: str) -> None:
        """Move a complete folder to where the tag's artefact belongs."""
        place = self.folder(tag)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            orphans = self.home / "orphans"
            orphans.mkdir(exist_ok=True)
            place.rename(Path(mkdtemp(prefix=f"{tag.replace(':', '-')}-", dir=orphans)) / place.name)
        made.rename(place)
        flush_folder(place.parent)

    def folder(self, tag: str) -> Path:
        """Where a tag's artefact and what belongs to it are, or would be."""
        model, _, version = tag.partition(":")
        return self.home / "models" / model / version


@dataclass(frozen=True)
class StagedArtefact:
    """An artefact that is complete on disk and not yet in the store."""

    store: ArtefactStore
    folder: Path
    sha256: str
    stored_as: Format

    def publish(self, tag: str) -> None:
        """Move it to its place in the store, with what BentoML wants to know beside it.

        For the holder of the registry's write lock. What lies in that place then is in
        no record: left by a training that never committed, or another database's. It is
        set aside, not destroyed.
        """
        made = _make_bentoml_model(self.folder, tag)
        for name in (*FILES.values(), EVALUATOR):
            if (self.folder / name).exists():
                (self.folder / name).rename(made / name)
        flush_folder(made)
        self.store.place(made, tag)


def _look(file: Path) -> tuple[int, int, int] | None:
    """Which file it is, its bytes, and when it was written last; None if it is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _import_bentoml() -> ModuleType:
    """BentoML, imported late: it takes a second and reads the environment."""
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    return importlib.import_module("bentoml")


def _make_bentoml_model(staging: Path, tag: str) -> Path:
    """Have BentoML make the folder of a model in a store that nobody else sees."""
    from bentoml._internal.models import ModelStore

    with _import_bentoml().models.create(tag, _model_store=ModelStore(staging)):
        pass
    model, _, version = tag.partition(":")
    return staging / model / version


def _check_libraries(version: Version) -> None:
    here = libraries()
    made = version.libraries
    if made["scikit-learn"] != here["scikit-learn"] or _major(made) != _major(here):
        raise ArtefactError(
            f"{version.tag} was made by {_told(made)} and here is {_told(here)}. "
            "Serve it with those releases."
        )


def _major(releases: Mapping[str, str]) -> str:
    return releases["numpy"].partition(".")[0]


def _told(releases: Mapping[str, str]) -> str:
    return " and ".join(f"{name} {releases[name]}" for name in _LIBRARIES)


def stored_as(version: Version) -> Format:
    """The format of a version's artefact."""
    known = version.details.get(STORED_AS, {}).get("format", "pickle")
    if known not in FILES:
        raise ArtefactError(f"{version.tag} is stored as {known!r}, which this release does not know.")
    return "skops" if known == "skops" else "pickle"
