"""What many tests share: a registry on a real SQLite file and a real model store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sklearn.pipeline import Pipeline
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from sepal.registry import Draft, Registry, Version
from sepal.settings import Settings
from tests.drafts import draft_of, small_pipeline

SLOW = (
    "bulk/test_score_million.py",
    "bulk/test_score_resumed.py",
    "bulk/test_spark.py",
    "bulk/test_work.py",
    "deploy/test_wheel.py",
    "end_to_end/test_bento.py",
    "end_to_end/test_generated_clients.py",
    "end_to_end/test_jobs.py",
    "end_to_end/test_kserve_client.py",
    "end_to_end/test_life.py",
    "end_to_end/test_mlflow.py",
    "end_to_end/test_openapi_conformance.py",
    "end_to_end/test_trials.py",
    "gateway/test_fast_route_at_length.py",
    "model_training/test_mlflow_imports.py",
    "model_training/test_notebooks.py",
    "model_training/test_report_in_a_browser.py",
)
"""Files of tests that take minutes, mostly because they kill and start processes again and again."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix() in SLOW:
            item.add_marker("slow")


class TiersByFile(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Has one of pytest-xdist's processes run a file whose tests start tiers, or are slow.

    So what they share is trained and started once. All other tests are for whoever is free.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0].removeprefix("tests/")
        return path if path in SLOW or path.startswith(("end_to_end/", "faults/")) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> TiersByFile:
    return TiersByFile(config, log)


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
