"""Trains iris: the species of a flower from four lengths."""

from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from model_training.gate import AtLeast, NotWorseThanChampion
from model_training.recipe import Recipe


def log_reg(seed: int) -> Pipeline:
    """Logistic regression on standardised lengths."""
    return make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))


def rand_forest(seed: int) -> Pipeline:
    """A random forest; trees need no scaling."""
    return make_pipeline(RandomForestClassifier(n_estimators=100, random_state=seed))


recipe = Recipe(
    model="iris",
    default_data="Iris.csv",
    algorithms={"log_reg": log_reg, "rand_forest": rand_forest},
    gate=(AtLeast("accuracy", 0.90), NotWorseThanChampion("accuracy", margin=0.05)),
)
