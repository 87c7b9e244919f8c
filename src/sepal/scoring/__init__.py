"""From a version's pipeline to a function that answers rows; for the model server and for bulk alike."""

from sepal.scoring.evaluators import Matrix
from sepal.scoring.scorer import LoadedVersion, load_version

__all__ = ["LoadedVersion", "Matrix", "load_version"]
