"""What each model takes and gives; the ground floor, on Pydantic and the standard library alone."""

from sepal.contracts.contract import Contract
from sepal.contracts.features import Feature, Features, Integer, WallClock, feature
from sepal.contracts.targets import Labels, Quantity, Target

__all__ = [
    "Contract",
    "Feature",
    "Features",
    "Integer",
    "Labels",
    "Quantity",
    "Target",
    "WallClock",
    "feature",
]
