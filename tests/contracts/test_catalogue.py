"""Finding contracts: in the package and in further folders, each name once."""

from pathlib import Path

import pytest

from sepal.contracts.catalogue import load_contracts
from sepal.errors import ConfigurationError, DuplicateNameError, NotFoundError

ROSE = """
from sepal.contracts import Contract, Features, Quantity, feature

class Rose(Features):
    '''A rose is a rose.'''
    petals: float = feature(example=5.0, description="How many.")

contract = Contract(name={name!r}, features=Rose, target=Quantity(column="height", unit="cm", example=30.0))
"""


def rose(folder: Path, name: str = "rose", file: str = "rose.py") -> Path:
    (folder / file).write_text(ROSE.format(name=name))
    return folder


def test_iris_and_ride_duration_ship() -> None:
    assert {"iris", "ride_duration"} <= set(load_contracts())


def test_a_file_in_a_further_folder_is_all_that_a_contract_needs(tmp_path: Path) -> None:
    assert load_contracts([rose(tmp_path)])["rose"].columns[0].name == "petals"


def test_a_file_is_imported_once(tmp_path: Path) -> None:
    folder = rose(tmp_path)
    assert load_contracts([folder])["rose"] is load_contracts([folder])["rose"]


def test_only_the_named_ones_are_given_in_the_order_named() -> None:
    assert list(load_contracts(only=["ride_duration", "iris"])) == ["ride_duration", "iris"]


def test_a_name_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(NotFoundError, match=r"no model 'tulip'\. There are: iris, ride_duration"):
        load_contracts(only=["tulip"])


def test_two_contracts_of_one_name_are_refused_with_both_places(tmp_path: Path) -> None:
    rose(tmp_path), rose(tmp_path, file="another.py")
    with pytest.raises(DuplicateNameError, match=r"(?s)'rose'.*another\.py.*rose\.py"):
        load_contracts([tmp_path])


def test_a_shipped_name_can_not_be_taken(tmp_path: Path) -> None:
    with pytest.raises(DuplicateNameError, match=r"(?s)'iris'.*contracts/iris\.py.*rose\.py"):
        load_contracts([rose(tmp_path, name="iris")])


def test_a_file_that_breaks_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_module")
    with pytest.raises(ConfigurationError, match=r"broken\.py can't be imported: No module named"):
        load_contracts([tmp_path])


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere is set as a folder"):
        load_contracts([tmp_path / "nowhere"])


def test_files_that_start_with_an_underscore_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "_draft.py").write_text("import no_such_module")
    assert set(load_contracts([tmp_path])) == set(load_contracts())
