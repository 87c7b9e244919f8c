"""An MLflow model as files: fetched from where it is, and told what it is by its MLmodel file."""

import importlib.metadata
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from model_training.mlflow.quiet import TRACKING_URI, mlflow, without_password
from sepal.errors import ArtefactError, ConfigurationError, NotFoundError
from sepal.registry import skops_format

_AT_A_SERVER = ("models:", "runs:", "mlflow-artifacts:")


@dataclass(frozen=True)
class Artefact:
    """An MLflow model of scikit-learn's flavour in a local folder.

    `signature` is MLflow's, or None; `origin` is what is recorded of where it comes from.
    """

    folder: Path
    source: str
    flavour: Mapping[str, Any]
    signature: Any
    metadata: Mapping[str, Any]
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_pickle(self) -> bool:
        """Whether to load it is to run what is in it."""
        return bool(self.flavour.get("serialization_format", "pickle") != "skops")

    def load(self, trusted_types: tuple[str, ...]) -> Any:  # noqa: ANN401 (any scikit-learn estimator)
        """The fitted pipeline. ArtefactError if it was made by other libraries, or can't be loaded.

        A pickle runs what its maker put into it. Of a skops file only types that are
        trusted here are loaded, whatever the artefact says of itself.
        """
        self._check_libraries()
        content = (self.folder / str(self.flavour.get("pickled_model", "model.pkl"))).read_bytes()
        if not self.is_pickle:
            return skops_format.loads(content, trusted_types, self.source)
        try:
            return pickle.loads(content)  # noqa: S301 (asked for by the operator, who is told)
        except Exception as error:
            raise ArtefactError(
                f"{self.source} can't be loaded: {error}. What its requirements.txt names must be "
                "installed here and where it is served."
            ) from error

    def _check_libraries(self) -> None:
        made, here = self.flavour.get("sklearn_version"), importlib.metadata.version("scikit-learn")
        if made != here:
            raise ArtefactError(
                f"{self.source} was made by scikit-learn {made} and here is {here}. Log it again with "
                f"{here}, or install {made} here and where it is served."
            )
        numpy = self._required("numpy")
        here = importlib.metadata.version("numpy")
        if numpy is not None and numpy.partition(".")[0] != here.partition(".")[0]:
            raise ArtefactError(f"{self.source} was made by numpy {numpy} and here is {here}.")

    def _required(self, package: str) -> str | None:
        """The release of a package that the artefact's requirements name."""
        requirements = self.folder / "requirements.txt"
        if not requirements.is_file():
            return None
        for line in requirements.read_text(encoding="utf-8").splitlines():
            name, _, release = line.partition("==")
            if name.strip() == package and release:
                return release.strip()
        return None


@contextmanager
def fetched(source: str) -> Iterator[Artefact]:
    """The MLflow model that a URI or folder names, in a folder that is there meanwhile.

    Raises NotFoundError if there is none, ConfigurationError if a server is needed and not
    named, ArtefactError if it is not of scikit-learn's flavour.
    """
    folder = Path(source)
    if folder.is_dir():
        yield _read(folder, source, {"source": str(folder.resolve())})
        return
    if source.startswith(_AT_A_SERVER) and not os.environ.get(TRACKING_URI):
        raise ConfigurationError(
            f"{source} is in an MLflow server, and none is named. Set {TRACKING_URI}, such as "
            "http://127.0.0.1:5000, or give the model's folder or the URI of its files."
        )
    if "://" not in source and not source.startswith(_AT_A_SERVER):
        raise NotFoundError(f"There is no folder {source}. Give an MLflow model's folder or URI.")
    with TemporaryDirectory(prefix="sepal-mlflow-") as into:
        yield _download(source, into)


def _download(source: str, into: str) -> Artefact:
    said = without_password(source)
    with mlflow() as module:
        try:
            folder = Path(module.artifacts.download_artifacts(artifact_uri=source, dst_path=into))
        except (module.exceptions.MlflowException, OSError) as error:
            raise NotFoundError(f"{said} can't be had from MLflow: {_first_line(error)}") from error
        return _read(folder, said, {"source": said, **_registered(module, source)})


def _read(folder: Path, source: str, origin: Mapping[str, Any]) -> Artefact:
    if not (folder / "MLmodel").is_file():
        raise NotFoundError(f"{source} has no file MLmodel: it is not an MLflow model.")
    with mlflow() as module:
        try:
            model = module.models.Model.load(str(folder))
            if model.run_id:
                origin = {**origin, "run_id": model.run_id, **_run(module, model.run_id)}
        except (module.exceptions.MlflowException, OSError, ValueError, TypeError) as error:
            raise ArtefactError(f"{source} can't be read: {_first_line(error)}") from error
    if (flavour := model.flavors.get("sklearn")) is None:
        there = ", ".join(name for name in model.flavors if name != "python_function") or "python_function"
        raise ArtefactError(
            f"{source} is of the flavour {there}. Sepal serves scikit-learn's: log it with "
            "mlflow.sklearn.log_model."
        )
    origin = {**origin, "mlflow": str(model.mlflow_version)}
    return Artefact(folder, source, flavour, model.signature, model.metadata or {}, origin)


def _registered(module: Any, source: str) -> Mapping[str, Any]:  # noqa: ANN401 (MLflow)
    """Name and number in MLflow's registry, of what `models:/iris@champion` names at this moment."""
    name, at, alias = source.removeprefix("models:/").partition("@")
    if not source.startswith("models:/"):
        return {}
    client = module.MlflowClient()
    if at:
        return {"name": name, "version": str(client.get_model_version_by_alias(name, alias).version)}
    name, _, version = name.partition("/")
    return {"name": name, "version": version}


def _run(module: Any, run_id: str) -> Mapping[str, Any]:  # noqa: ANN401 (MLflow)
    """The metrics of the run that made it, if its server can be reached."""
    if not os.environ.get(TRACKING_URI):
        return {}
    try:
        return {"metrics": dict(module.MlflowClient().get_run(run_id).data.metrics)}
    except (module.exceptions.MlflowException, OSError):
        return {}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
