"""The Python client and its command against both tiers, really running."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sepal.client import AsyncClient, Client
from sepal.contracts.iris import contract as iris
from sepal.registry import Registry
from tests.end_to_end.conftest import IRIS, Served

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def flowers() -> pd.DataFrame:
    values = np.random.default_rng(7).uniform(0.1, 9.0, size=(20_000, 4))
    return pd.DataFrame(values, columns=list(IRIS), index=np.arange(20_000) * 2)


async def test_a_frame_in_parts_gets_scikit_learns_own_answers(
    served: Served, flowers: pd.DataFrame
) -> None:
    with Registry.open(served.place.settings) as registry:
        pipeline = registry.artefacts.load(registry.champion("iris"))
    expected = pipeline.predict(flowers.to_numpy())
    with Client(served.url, batch_rows=1_500) as client:
        answers = client.predict(iris, flowers, probabilities=True)
        frame = client.predict("iris", pl.from_pandas(flowers))
    async with AsyncClient(served.url, batch_rows=1_500) as client:
        others = await client.predict(iris, flowers, probabilities=True)
    assert list(answers["prediction"]) == list(expected) == list(frame["prediction"])
    assert set(answers["model_version"]) == {"log_reg_1"}
    pd.testing.assert_frame_equal(answers, others)
    assert answers.index.equals(flowers.index)


def test_one_client_serves_many_threads(served: Served, flowers: pd.DataFrame) -> None:
    rows = flowers.head(400).to_dict("records")
    with Client(served.url) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda row: client.predict("iris", row).output, rows))
        assert answers == [answer.output for answer in client.predict("iris", rows)]


def test_the_readmes_example_gets_its_answer(served: Served) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(from sepal\.client .*?)```", readme, re.DOTALL)
    code = example.replace("http://127.0.0.1:8000", served.url)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "output='Iris-virginica' model_name='log_reg_1'" in ended.stdout


def test_the_command_asks_the_gateway_of_this_machine(served: Served) -> None:
    words = [f"{name}={value}" for name, value in IRIS.items()]
    ended = served.place.sepal("predict", "iris", "--row", *words, "--format", "json")
    assert json.loads(ended.stdout) == {"output": "Iris-virginica", "model_name": "log_reg_1"}
    refused = served.place.sepal("predict", "iris", *words[1:], check=False)
    assert refused.returncode == 5
    assert refused.stderr.startswith("Error: 422 Wrong values: ")
    assert refused.stderr.count("\n") == 1
