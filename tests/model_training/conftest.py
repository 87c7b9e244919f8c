"""What the tests of training share: the catalogues, and a register that keeps drafts in memory."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from model_training.recipe import Recipe, load_recipes
from sepal.contracts import Contract
from sepal.contracts.catalogue import load_contracts
from sepal.registry.versions import Draft, Version

DATA = Path(__file__).parents[2] / "data"


class Drafts(list[Draft]):
    """An honest small register: it keeps each draft and numbers it."""

    def register(self, draft: Draft) -> Version:
        self.append(draft)
        return Version(
            number=len(self),
            created_at=datetime(2026, 1, 1),
            artefact_sha256="",
            libraries={},
            **{name: value for name, value in vars(draft).items() if name in Version.__dataclass_fields__},
        )


@pytest.fixture
def drafts() -> Drafts:
    return Drafts()


@pytest.fixture
def contracts() -> dict[str, Contract]:
    return load_contracts()


@pytest.fixture
def recipes(contracts: dict[str, Contract]) -> dict[str, Recipe]:
    return load_recipes(contracts)


@pytest.fixture
def real_month() -> Callable[[str], Path]:
    """The file of a real month such as `2019-01`."""
    folder = os.environ.get("SEPAL_TEST_RIDES")
    if not folder:
        pytest.skip("SEPAL_TEST_RIDES names no folder of real taxi months")

    def find(month: str) -> Path:
        return next(Path(folder).glob(f"*{month}*"))

    return find
