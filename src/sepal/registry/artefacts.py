"""Artefacts: fitted pipelines as files in BentoML's model store, checked before they are loaded."""

import fcntl
import hashlib
import importlib
import importlib.metadata
import io
import os
import pickle
import platform
import shutil
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType
from typing import Any, Self

from sepal.durable import flush_folder, write
from sepal.errors import ArtefactError
from sepal.registry import skops_format
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
_NOT_AT_THE_SERVER = ("__main__", "model_training", "sepal_found_")


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
        with _locked_folder(self.home / "staging") as folder:
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
        _refuse_homeless(skops_format.untrusted_types(content))
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
    _refuse_homeless(f"{module}.{name}" for module, name in needed(content))
    return content


def needed(content: bytes) -> set[tuple[str, str]]:
    """The modules that a pickle needs and the names in them, found by unpickling it."""
    names = _Names(content)
    names.load()
    return names.needed


def stored_as(version: Version) -> Format:
    """The format of a version's artefact."""
    known = version.details.get(STORED_AS, {}).get("format", "pickle")
    if known not in FILES:
        raise ArtefactError(f"{version.tag} is stored as {known!r}, which this release does not know.")
    return "skops" if known == "skops" else "pickle"


def _refuse_homeless(names: Iterable[str]) -> None:
    """Refuse a pipeline that the model server could not load: it has no training code."""
    homeless = sorted(name for name in names if name.startswith(_NOT_AT_THE_SERVER))
    if homeless:
        raise ArtefactError(
            f"The pipeline contains {', '.join(homeless)}, which the model server does not have. "
            "Build it from scikit-learn's and numpy's own parts, or from an installed package."
        )


@contextmanager
def _locked_folder(parent: Path) -> Iterator[Path]:
    """A new folder, locked for as long as this process lives and works in it, then removed.

    Those of trainings that were killed, whose locks the kernel let go, are removed too.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / "lock").open("w") as making:
        fcntl.flock(making, fcntl.LOCK_EX)
        _sweep(parent)
        folder = Path(mkdtemp(dir=parent))
        lock = (folder / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def _sweep(parent: Path) -> None:
    for folder in (path for path in parent.iterdir() if path.is_dir()):
        try:
            with (folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
        except OSError:
            continue  # somebody works in it, or is removing it
