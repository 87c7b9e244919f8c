"""Versions of models: their metrics, aliases and audit trail in a database, their artefacts in a store."""

from typing import TYPE_CHECKING

from sepal.registry.artefacts import ArtefactStore
from sepal.registry.versions import Draft, Metrics, Version

if TYPE_CHECKING:
    from sepal.registry.registry import CHAMPION, Registry
else:

    def __getattr__(name: str) -> object:
        """What needs SQLAlchemy comes when it is first asked for: the import takes 0.12 s."""
        if name not in ("CHAMPION", "Registry"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from sepal.registry import registry

        return getattr(registry, name)


__all__ = ["CHAMPION", "ArtefactStore", "Draft", "Metrics", "Registry", "Version"]
