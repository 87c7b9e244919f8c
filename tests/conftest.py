"""What many tests share: a registry on a real SQLite file and a real model store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sklearn.pipeline import Pipeline

from sepal.registry import Draft, Registry, Version
from sepal.settings import Settings
from tests.drafts import draft_of, small_pipeline


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    with Registry.open(settings) as registry:
        yield registry


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    return small_pipeline()


@pytest.fixture
def draft(pipeline: Pipeline) -> Draft:
    return draft_of(pipeline)


@pytest.fixture
def version(registry: Registry, draft: Draft) -> Version:
    return registry.register(draft)
