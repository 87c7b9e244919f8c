"""Versions stored by skops: loaded by any server, and no type in them that its settings don't trust."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from sepal.contracts import Labels
from sepal.contracts.iris import contract
from sepal.errors import ArtefactError, ConfigurationError
from sepal.registry import Draft, Registry
from sepal.scoring.scorer import load_version
from sepal.settings import Settings
from tests.drafts import draft_of

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("skops") is None, reason="the extra skops is not installed"
)

TREE = "sklearn.tree._tree.Tree"


@contextmanager
def opened(folder: Path, **settings: Any) -> Iterator[Registry]:  # noqa: ANN401
    with Registry.open(Settings(data_dir=folder, **settings)) as registry:
        yield registry


@pytest.fixture
def forest() -> Draft:
    assert isinstance(contract.target, Labels)
    rows = np.random.default_rng(1).uniform(0.1, 9, (60, 4))
    labels = np.array(contract.target.names)[np.arange(60) % 3]
    return draft_of(RandomForestClassifier(5, random_state=0).fit(rows, labels), algorithm="rand_forest")


def test_a_version_stored_by_skops_is_loaded_whatever_the_setting(
    tmp_path: Path, draft: Draft, pipeline: Pipeline
) -> None:
    with opened(tmp_path, artefact_format="skops") as registry:
        version = registry.register(draft)
    assert version.details["artefact"] == {"format": "skops", "file": "model.skops"}
    rows = np.random.default_rng(2).uniform(0.1, 9, (100, 4))
    with opened(tmp_path) as registry:
        assert registry.artefacts.path(version.tag, "skops").is_file()
        assert not registry.artefacts.path(version.tag).exists()
        registry.artefacts.check(version)
        loaded = registry.artefacts.load(version)
        assert (loaded.predict_proba(rows) == pipeline.predict_proba(rows)).all()
        assert load_version(version, contract, registry.artefacts).score(rows).shape == (100, 5)


def test_a_pickled_version_is_loaded_where_skops_is_set(tmp_path: Path, draft: Draft) -> None:
    with opened(tmp_path) as registry:
        version = registry.register(draft)
    with opened(tmp_path, artefact_format="skops") as registry:
        assert registry.artefacts.load(version)
        assert registry.register(draft).details["artefact"]["format"] == "skops"


def test_a_changed_byte_of_a_skops_file_is_refused_by_name(tmp_path: Path, draft: Draft) -> None:
    with opened(tmp_path, artefact_format="skops") as registry:
        version = registry.register(draft)
        path = registry.artefacts.path(version.tag, "skops")
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        with pytest.raises(ArtefactError, match="iris:log_reg_1 is not the artefact that was registered"):
            registry.artefacts.load(version)


def test_a_type_that_is_not_trusted_is_refused_by_name_with_the_way_out(
    tmp_path: Path, forest: Draft
) -> None:
    with opened(tmp_path, artefact_format="skops") as registry:
        with pytest.raises(ArtefactError, match=rf"not trusted here: {TREE}\..*SEPAL_TRUSTED_TYPES={TREE}"):
            registry.register(forest)
        assert registry.versions() == []
    with opened(tmp_path, artefact_format="skops", trusted_types=(TREE,)) as registry:
        version = registry.register(forest)
        assert registry.artefacts.load(version)
    with (
        opened(tmp_path) as registry,
        pytest.raises(ArtefactError, match=f"iris:rand_forest_1 contains types .*{TREE}"),
    ):
        registry.artefacts.load(version)


def test_training_code_is_refused_although_it_is_trusted(tmp_path: Path) -> None:
    import model_training.recipe as training_code

    name = "model_training.recipe.load_recipes"
    with (
        opened(tmp_path, artefact_format="skops", trusted_types=(name,)) as registry,
        pytest.raises(ArtefactError, match=rf"contains {name}, which the model server does not have"),
    ):
        registry.register(draft_of(FunctionTransformer(training_code.load_recipes)))


def test_without_skops_the_extra_is_named(
    tmp_path: Path, draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, artefact_format="skops") as registry:
        version = registry.register(draft)
        monkeypatch.setitem(sys.modules, "skops.io", None)
        with pytest.raises(ConfigurationError, match=r"pip install 'sepal\[skops\]'"):
            registry.register(draft)
        with pytest.raises(ArtefactError, match=r"iris:log_reg_1 can't be loaded.*'sepal\[skops\]'"):
            registry.artefacts.load(version)


def test_a_format_of_a_later_release_is_refused(registry: Registry, draft: Draft) -> None:
    version = registry.register(draft_of(draft.pipeline, details={"artefact": {"format": "safetensors"}}))
    with pytest.raises(ArtefactError, match="stored as 'safetensors', which this release does not know"):
        registry.artefacts.load(version)
