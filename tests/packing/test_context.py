"""What goes into a bento, and what it is called by."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sepal.errors import SepalError
from sepal.packing.context import lay_out
from sepal.registry import Registry, Version
from sepal.registry.pack import pack
from sepal.registry.verify import verify
from sepal.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("bentoml==1.4.39\n")
    return path


def laid_out(stage: Path, requirements: Path, version: Version, *folders: Path) -> str:
    stage.mkdir()
    return lay_out(stage, ROOT / "bentofile.yaml", requirements, [version], folders)


def test_a_packed_registry_has_the_version_as_it_was_and_as_champion(
    tmp_path: Path, registry: Registry, version: Version
) -> None:
    file = tmp_path / "packed.sqlite"
    pack([version], file)
    settings = Settings(data_dir=tmp_path, database_url=f"sqlite:///{file}")
    with Registry.open(settings) as packed:
        assert packed.versions() == [version]
        assert packed.champion(version.model) == version
        assert verify(packed).faults == []


def test_the_same_content_is_the_same_bento_and_other_content_another(
    tmp_path: Path, requirements: Path, version: Version
) -> None:
    first = laid_out(tmp_path / "first", requirements, version)
    assert laid_out(tmp_path / "second", requirements, version) == first
    requirements.write_text("bentoml==1.4.40\n")
    assert laid_out(tmp_path / "third", requirements, version) != first


def test_the_bentofile_names_each_version_and_never_the_latest(
    tmp_path: Path, requirements: Path, version: Version
) -> None:
    laid_out(tmp_path / "stage", requirements, version)
    options = yaml.safe_load((tmp_path / "stage" / "bentofile.yaml").read_text())
    assert options["models"] == [version.tag]
    assert options["labels"][version.model] == version.name
    assert json.loads((tmp_path / "stage/packed/models.json").read_text()) == {version.model: version.name}


def test_contracts_of_folders_of_ones_own_are_carried_in_their_order(
    tmp_path: Path, requirements: Path, version: Version
) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").write_text("")
        (tmp_path / name / "notes.txt").write_text("")
    laid_out(tmp_path / "stage", requirements, version, tmp_path / "b", tmp_path / "a")
    carried = (tmp_path / "stage" / "packed" / "contracts").rglob("*")
    assert sorted(path.name for path in carried) == ["000", "001", "a.py", "b.py"]


def test_without_a_lock_nothing_is_packed(tmp_path: Path, version: Version) -> None:
    with pytest.raises(SepalError, match="make bento"):
        laid_out(tmp_path / "stage", tmp_path / "requirements.txt", version)


@pytest.mark.parametrize("exported", [True, False], ids=["in a container", "imported"])
def test_code_in_a_bento_finds_what_is_packed_beside_it(tmp_path: Path, exported: bool) -> None:
    home = tmp_path / "home"
    bento = home / "bentos" / "sepal" / "1"
    shutil.copytree(
        ROOT / "src" / "sepal", bento / "src" / "sepal", ignore=shutil.ignore_patterns("__pycache__")
    )
    (bento / "bento.yaml").touch()
    (bento / "src" / "packed" / "contracts" / "000").mkdir(parents=True)
    (bento / "src" / "packed" / "models.json").write_text('{"iris": "log_reg_1"}')
    ((bento if exported else home) / "models").mkdir()
    code = """if True:
        from sepal.settings import Settings
        settings = Settings()
        print(settings.data_dir, settings.models, settings.contracts_path[0], settings.bentoml_home)
        print(settings.bentoml_environment)
        print(Settings(data_dir="/data").bentoml_home)
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEPAL_")}
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PYTHONPATH": str(bento / "src")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    packed = bento / "src" / "packed"
    assert said == [
        f"{packed} ('iris',) {packed / 'contracts' / '000'} {bento if exported else home}",
        "{'BENTOML_DO_NOT_TRACK': 'True'}",
        "/data/bentoml",
    ]
