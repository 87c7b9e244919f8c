"""Artefacts: written whole, found as BentoML expects them, refused when anything is wrong."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from sepal.errors import ArtefactError
from sepal.registry import Draft, Registry
from sepal.settings import Settings
from tests.drafts import draft_of


def test_what_is_loaded_predicts_as_what_was_stored(
    registry: Registry, draft: Draft, pipeline: Pipeline
) -> None:
    rows = np.random.default_rng(2).uniform(0.1, 9, (100, 4))
    loaded = registry.artefacts.load(registry.register(draft))
    assert (loaded.predict_proba(rows) == pipeline.predict_proba(rows)).all()


def test_bentoml_finds_it_by_its_tag(registry: Registry, draft: Draft, settings: Settings) -> None:
    tag = registry.register(draft).tag
    script = f"import bentoml; print(bentoml.models.get({tag!r}).path_of('model.pkl'))"
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **settings.bentoml_environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()) == registry.artefacts.path(tag)


def test_nothing_but_the_version_stays_on_disk(
    registry: Registry, draft: Draft, settings: Settings
) -> None:
    registry.register(draft)
    files = {
        str(path.relative_to(settings.bentoml_home))
        for path in settings.bentoml_home.rglob("*")
        if path.is_file()
    }
    assert files == {"models/iris/log_reg_1/model.pkl", "models/iris/log_reg_1/model.yaml", "staging/lock"}


def test_the_leavings_of_a_killed_training_are_swept(
    registry: Registry, draft: Draft, settings: Settings
) -> None:
    left = settings.bentoml_home / "staging" / "left"
    left.mkdir(parents=True)
    (left / "model.pkl").write_bytes(b"half")
    registry.register(draft)
    assert not left.exists()


def test_one_changed_byte_is_refused_by_name(registry: Registry, draft: Draft) -> None:
    version = registry.register(draft)
    path = registry.artefacts.path(version.tag)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        ArtefactError, match=r"iris:log_reg_1 is not the artefact that was registered.*Restore its file"
    ):
        registry.artefacts.load(version)


def test_a_swapped_artefact_is_refused(registry: Registry, draft: Draft) -> None:
    first, second = registry.register(draft), registry.register(draft_of(FunctionTransformer()))
    registry.artefacts.path(second.tag).replace(registry.artefacts.path(first.tag))
    with pytest.raises(ArtefactError, match="iris:log_reg_1 is not the artefact"):
        registry.artefacts.load(first)
    with pytest.raises(ArtefactError, match="iris:log_reg_2 can't be read"):
        registry.artefacts.load(second)


@pytest.mark.parametrize("library", ["scikit-learn", "numpy"])
def test_an_artefact_of_another_release_is_refused(registry: Registry, draft: Draft, library: str) -> None:
    version = registry.register(draft)
    other = replace(version, libraries={**version.libraries, library: "0.1"})
    with pytest.raises(ArtefactError, match=rf"was made by .*{library} 0\.1.* and here is"):
        registry.artefacts.load(other)


def test_what_does_not_unpickle_is_refused_although_its_checksum_matches(
    registry: Registry, draft: Draft
) -> None:
    version = registry.register(draft)
    registry.artefacts.path(version.tag).write_bytes(b"no pickle")
    checked = replace(
        version, artefact_sha256="f7f02c1f3edf6a6e9d1c6e0eba5a8ae8ff5bb1b8dba4b0ee4e4b4c7dfa0fbc16"
    )
    with pytest.raises(ArtefactError, match="is not the artefact"):
        registry.artefacts.load(checked)
    import hashlib

    checked = replace(version, artefact_sha256=hashlib.sha256(b"no pickle").hexdigest())
    with pytest.raises(ArtefactError, match="iris:log_reg_1 can't be loaded"):
        registry.artefacts.load(checked)


def test_a_pipeline_with_code_that_the_model_server_lacks_is_refused(registry: Registry) -> None:
    import model_training.recipe as training_code

    homeless = FunctionTransformer(training_code.load_recipes)
    with pytest.raises(ArtefactError, match=r"contains model_training\.recipe\.load_recipes"):
        registry.register(draft_of(homeless))
    assert registry.versions() == []


def test_a_dumped_evaluator_is_loaded_only_as_it_was_registered(
    registry: Registry, pipeline: Pipeline
) -> None:
    version = registry.register(draft_of(pipeline, evaluator=b"arrays"))
    plain = registry.register(draft_of(pipeline))
    assert registry.artefacts.load_evaluator(version) == b"arrays"
    assert registry.artefacts.load_evaluator(plain) is None
    registry.artefacts.path(version.tag).with_name("evaluator.npz").write_bytes(b"arrayz")
    with pytest.raises(ArtefactError, match="is not the artefact that was registered"):
        registry.artefacts.load_evaluator(version)
