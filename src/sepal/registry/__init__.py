"""Versions of models: their metrics, aliases and audit trail in a database, their artefacts in a store."""

from sepal.registry.artefacts import ArtefactStore
from sepal.registry.registry import CHAMPION, Registry
from sepal.registry.versions import Draft, Metrics, Version

__all__ = ["CHAMPION", "ArtefactStore", "Draft", "Metrics", "Registry", "Version"]
