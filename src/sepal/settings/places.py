"""Settings of places: the data, the registry, contracts and recipes."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from sepal import packed
from sepal.settings.kinds import Folders, Group, Names


def _default_data_dir() -> Path:
    """`data/` of the checkout that this runs from, or the user's data folder if it was installed.

    In a bento it is what the bento carries.
    """
    if in_bento := packed.folder():
        return in_bento
    root = Path(__file__).parents[3]
    if (root / "pyproject.toml").is_file():
        return root / "data"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "sepal"


class Places(Group):
    """Data, models and the registry."""

    data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="The folder of the data, the database and the artefacts. "
        "The default is the checkout's data/, or ~/.local/share/sepal for an installed package.",
    )
    database_url: str = Field(
        "",
        description="URL of the registry: sqlite:///FILE or postgresql://…. "
        "The default is DATA_DIR/database.sqlite.",
    )
    models: Names = Field(
        default_factory=packed.models,
        description="Models to serve, separated by commas. The default is all; in a bento, those packed.",
    )
    contracts_path: Folders = Field(
        default_factory=packed.contracts,
        description="Folders with further contract files, separated like PATH.",
    )
    recipes_path: Folders = Field((), description="Folders with further recipe files, separated like PATH.")
    artefact_format: Literal["pickle", "skops"] = Field(
        "pickle", description="How new versions are stored. Versions of either format are loaded."
    )
    trusted_types: Names = Field(
        (),
        description="Types that may be in a skops file besides those that skops trusts, by commas.",
    )

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the registry."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'database.sqlite'}"

    @property
    def bentoml_home(self) -> Path:
        """The folder that BentoML calls BENTOML_HOME; its model store holds the artefacts."""
        if self.data_dir == packed.folder():
            return packed.artefacts(self.data_dir)
        return self.data_dir.resolve() / "bentoml"

    @property
    def bentoml_environment(self) -> dict[str, str]:
        """What BentoML must find in the environment when it is imported."""
        untracked = {"BENTOML_DO_NOT_TRACK": "True"}
        if self.data_dir == packed.folder():  # which may be read-only: BENTOML_HOME is not for Sepal to say
            return untracked
        return {"BENTOML_HOME": str(self.bentoml_home), **untracked}
