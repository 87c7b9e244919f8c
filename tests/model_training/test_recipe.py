"""Recipes: how they are found, and what is refused."""

from pathlib import Path

import pytest

from model_training.pipelines.train import train
from model_training.recipe import Recipe, load_recipes
from sepal.contracts import Contract
from sepal.contracts.catalogue import load_contracts
from sepal.errors import ConfigurationError, DuplicateNameError, NotFoundError
from tests.model_training.conftest import Drafts

WINE_CONTRACT = '''
"""Wine: a third model."""

from sepal.contracts import Contract, Features, Labels, feature


class Wine(Features):
    """The cultivar of a wine."""

    alcohol: float = feature("Alcohol", example=13.0, description="Alcohol.")
    flavanoids: float = feature(example=2.0, description="Flavanoids.")


contract = Contract("wine", Wine, Labels(("a", "b", "c"), column="cultivar", example="a"))
'''

WINE_RECIPE = '''
"""Trains wine."""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_training.recipe import Recipe


def log_reg(seed):
    return make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))


recipe = Recipe(model="wine", default_data="wine.csv", algorithms={"log_reg": log_reg})
'''


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder


def wine_table(path: Path) -> Path:
    from sklearn.datasets import load_wine

    wine = load_wine()
    at = [wine.feature_names.index(name) for name in ("alcohol", "flavanoids")]
    rows = [
        f"{x[at[0]]},{x[at[1]]},{'abc'[label]}" for x, label in zip(wine.data, wine.target, strict=True)
    ]
    path.write_text("\n".join(["Alcohol,flavanoids,cultivar", *rows]))
    return path


def test_a_third_model_is_a_contract_file_and_a_recipe_file(tmp_path: Path, drafts: Drafts) -> None:
    contracts = load_contracts([write(tmp_path / "contracts", "wine.py", WINE_CONTRACT)])
    recipes = load_recipes(contracts, [write(tmp_path / "recipes", "wine.py", WINE_RECIPE)])
    version = train(
        recipes["wine"],
        contracts["wine"],
        data=wine_table(tmp_path / "wine.csv"),
        register=drafts.register,
        progress=lambda step: None,
    )
    assert version.name == "log_reg_1"
    assert version.metrics["test"]["accuracy"] > 0.8


def test_two_recipes_of_one_model_are_refused_naming_both_files(
    tmp_path: Path, contracts: dict[str, Contract]
) -> None:
    folder = write(tmp_path / "recipes", "again.py", WINE_RECIPE.replace("wine", "iris"))
    with pytest.raises(DuplicateNameError) as refused:
        load_recipes(contracts, [folder])
    assert str(folder / "again.py") in str(refused.value)
    assert str(Path("model_training", "recipes", "iris.py")) in str(refused.value)


def test_a_recipe_without_a_contract_is_refused_naming_its_file(
    tmp_path: Path, contracts: dict[str, Contract]
) -> None:
    folder = write(tmp_path / "recipes", "wine.py", WINE_RECIPE)
    with pytest.raises(ConfigurationError, match=r"wine\.py trains 'wine', which no contract describes"):
        load_recipes(contracts, [folder])


def test_an_unknown_algorithm_is_told_which_there_are(recipes: dict[str, Recipe]) -> None:
    with pytest.raises(NotFoundError, match="log_reg, rand_forest"):
        recipes["iris"].pipeline("nope", 1)


def test_the_first_algorithm_is_the_default(recipes: dict[str, Recipe]) -> None:
    assert recipes["iris"].default_algorithm == "log_reg"


def test_a_recipe_without_algorithms_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no algorithm"):
        Recipe(model="iris", default_data="x.csv", algorithms={})


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_test_share_that_leaves_a_side_empty_is_refused(share: float, recipes: dict[str, Recipe]) -> None:
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        Recipe(model="iris", default_data="x.csv", algorithms=recipes["iris"].algorithms, test_share=share)
