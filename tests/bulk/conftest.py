"""A place with trained models: irises by a regression and a forest, rides, and flowers of every kind."""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from model_training.pipelines.train import train
from model_training.recipe import load_recipes
from sepal.contracts import Labels
from sepal.contracts.catalogue import load_contracts
from sepal.registry import Registry
from sepal.settings import Settings
from tests.bulk.command import Place
from tests.drafts import draft_of

ROOT = Path(__file__).parents[2]
FLOWERS = '''"""Flowers of a garden: one feature of each kind."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from sepal.contracts import Contract, Features, Integer, Labels, WallClock, feature


class Flowers(Features):
    """A flower."""

    height: Annotated[float, Field(ge=0, le=100)] = feature("Height (cm)", example=12.5, description="")
    petals: Annotated[Integer, Field(ge=1, le=50)] = feature(example=5, description="")
    colour: Literal["red", "blue", "none"] = feature(example="red", description="")
    wild: bool = feature(example=True, description="")
    seen: Annotated[WallClock, Field(ge=datetime(2000, 1, 1), lt=datetime(2100, 1, 1))] | None = feature(
        example="2019-01-15T08:30:00", description="", optional=True
    )
    scent: Annotated[float, Field(ge=0, le=1)] | None = feature(example=0.5, description="", optional=True)


contract = Contract(
    "flowers", Flowers, Labels(("keep", "weed"), column="fate", example="keep")
)
'''


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("place")
    (folder / "contracts").mkdir()
    (folder / "contracts" / "flowers.py").write_text(FLOWERS)
    contracts = load_contracts([folder / "contracts"])
    recipes = load_recipes(contracts, [])
    settings = Settings(data_dir=folder)
    pipelines = {}
    with Registry.open(settings) as registry:
        for model, algorithm in (("iris", "log_reg"), ("iris", "rand_forest"), ("ride_duration", None)):
            recipe = recipes[model]
            version = train(
                recipe,
                contracts[model],
                data=ROOT / "data" / recipe.default_data,
                algorithm=algorithm,
                register=registry.register,
                progress=lambda step: None,
            )
            pipelines[version.name] = registry.artefacts.load(version)
        flowers = contracts["flowers"]
        assert isinstance(flowers.target, Labels)
        pipeline = HistGradientBoostingClassifier(
            max_iter=3, min_samples_leaf=1
        )  # it takes what is missing
        pipeline.fit(np.arange(120.0).reshape(20, 6), np.array(flowers.target.names).repeat(10))
        version = registry.register(
            draft_of(pipeline, model="flowers", contract_signature=flowers.signature)
        )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SEPAL_", "AWS_"))},
        "SEPAL_DATA_DIR": str(folder),
        "SEPAL_CONTRACTS_PATH": str(folder / "contracts"),
    }
    return Place(environment, pipelines)
