"""A recipe: how a model is trained. Where its data comes from, and its scikit-learn pipelines."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sklearn.pipeline import Pipeline

import model_training.recipes
from model_training.gate import Rule
from model_training.tables import TrainingData, read_examples
from sepal.contracts import Contract
from sepal.contracts.catalogue import collect, pick
from sepal.errors import ConfigurationError


@dataclass(frozen=True)
class Recipe:
    """How the model of one contract is trained.

    `model` is the contract's name: a recipe file in a folder of its own need not import
    the contract's file. `default_data` is a file name inside the settings' data_dir.
    `algorithms` gives, by name, the functions that make an unfitted pipeline from a seed;
    the first is the default. A pipeline takes a float64 matrix of shape (n_rows,
    n_features) in contract order, NaN for a missing optional value, and is unpickled where
    there is only numpy and scikit-learn: it may hold no function or class of the recipe's file.

    `read` makes the training data of a file; a table with the contract's columns and the
    target's needs none of its own. `test_share` of the rows is kept for the test.

    `gate` has the rules by which a version is judged on these rows; one that does not
    pass them all is not promoted. `group_by` names the features by whose values the
    report of a quantity shows errors; with none it takes the times, and of whole numbers
    and categories the one with the most values.
    """

    model: str
    default_data: str
    algorithms: Mapping[str, Callable[[int], Pipeline]]
    read: Callable[[Path, Contract], TrainingData] = read_examples
    test_share: float = 0.25
    gate: Sequence[Rule] = ()
    group_by: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.algorithms:
            raise ConfigurationError(f"The recipe of {self.model!r} has no algorithm: give it one.")
        if not 0 < self.test_share < 1:
            raise ConfigurationError(
                f"The recipe of {self.model!r} has test_share={self.test_share}: give one between 0 and 1."
            )

    @property
    def name(self) -> str:
        """The name of the model, and of its contract."""
        return self.model

    @property
    def source(self) -> Path:
        """The file that defines it: that of its first algorithm."""
        return Path(inspect.getfile(next(iter(self.algorithms.values()))))

    @property
    def default_algorithm(self) -> str:
        """The algorithm that is trained if none is named."""
        return next(iter(self.algorithms))

    def pipeline(self, algorithm: str, seed: int) -> Pipeline:
        """An unfitted pipeline; NotFoundError naming the algorithms that there are."""
        return pick(dict(self.algorithms), algorithm, f"{self.model} algorithm")(seed)


def load_recipes(
    contracts: Mapping[str, Contract], extra_folders: Iterable[Path] = ()
) -> dict[str, Recipe]:
    """Every recipe by its model's name: those that come with Sepal, then those in `extra_folders`.

    Raises DuplicateNameError naming both files if two recipes are for one model,
    ConfigurationError if a file can't be imported, if a recipe's model has no contract, or
    if that has no feature by which the recipe groups.
    """
    recipes = collect(Recipe, model_training.recipes, extra_folders, lambda r: r.name, lambda r: r.source)
    for recipe in recipes.values():
        if recipe.model not in contracts:
            raise ConfigurationError(
                f"{recipe.source} trains {recipe.model!r}, which no contract describes. "
                f"Contracts: {', '.join(sorted(contracts)) or 'none'}."
            )
        features = [column.name for column in contracts[recipe.model].columns]
        if unknown := [name for name in recipe.group_by if name not in features]:
            raise ConfigurationError(
                f"{recipe.source} groups by {', '.join(unknown)}, which {recipe.model!r} does not have. "
                f"Features: {', '.join(features)}."
            )
    return recipes
