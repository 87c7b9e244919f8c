"""A job's options, held against the contract that it is scored by before anything is loaded or read."""

import encodings.aliases
import random
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sepal.bulk.files import Text, find
from sepal.bulk.job import Job
from sepal.bulk.run import run
from sepal.contracts import Contract
from sepal.contracts.iris import contract as iris
from sepal.contracts.ride_duration import contract as ride
from sepal.errors import DataError
from sepal.registry import Registry
from sepal.settings import Settings
from tests.drafts import draft_of, small_pipeline

NAME = "probability_Iris-setosa"


def job(contract: Contract = iris, **options: Any) -> Job:  # noqa: ANN401
    return Job(model=contract.name, **{"input": "in.csv", "output": "out.csv", **options})


@pytest.mark.parametrize(
    ("contract", "options", "told"),
    [
        (iris, {"proba": True, "prediction_name": NAME}, f"would be '{NAME}', which has a probability"),
        (iris, {"proba": True, "row_id": NAME}, f"would be '{NAME}'"),
        (iris, {"proba": True, "version_name": NAME}, f"would be '{NAME}'"),
        (iris, {"proba": True, "position_name": NAME}, f"would be '{NAME}'"),
        (iris, {"label_names": {"Iris-setosa": "a", "Iris-virginica": "a"}}, "would both be called 'a'"),
        (iris, {"label_names": {"Iris-setosa": "Iris-virginica"}}, "both be called 'Iris-virginica'"),
        (iris, {"label_names": {"Rose": "a"}}, "no label 'Rose' to give another word for"),
        (ride, {"proba": True}, "has no probabilities: leave out --proba"),
        (ride, {"label_names": {"a": "b"}}, "it has no labels"),
        (ride, {"position_name": "place"}, "it has no labels"),
    ],
)
def test_options_that_do_not_go_with_the_contract_are_told_before_anything_is_read(
    contract: Contract, options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path)
    with Registry.open(settings) as registry:
        registry.register(
            draft_of(small_pipeline(), model=contract.name, contract_signature=contract.signature)
        )
    with pytest.raises(DataError, match=told):
        run(job(contract, **options), contract, settings)


def test_options_that_go_with_the_contract_are_taken() -> None:
    job(prediction_name=NAME).check(iris)
    swapped = {"Iris-setosa": "Iris-virginica", "Iris-virginica": "Iris-setosa"}
    job(proba=True, label_names=swapped, position_name="place").check(iris)
    job(ride).check(ride)


@pytest.mark.parametrize(
    "encoding", ["idna", "punycode", "utf-7", "unicode_escape", "raw-unicode-escape", "undefined", "rot13"]
)
def test_what_is_no_encoding_of_files_is_refused(encoding: str) -> None:
    with pytest.raises(ValidationError, match="there is no encoding"):
        job(encoding=encoding)


def test_in_any_encoding_that_is_taken_any_bytes_are_read_or_refused_by_name(tmp_path: Path) -> None:
    generator = random.Random(1)  # noqa: S311 (no secret)
    path, n_taken = tmp_path / "in.csv", 0
    contents = [
        bytes(range(256)),
        b"\\ud800\\udc00",
        b"+2AA-",
        *(generator.randbytes(300) for _ in range(5)),
    ]
    for name in sorted({*encodings.aliases.aliases.values(), "utf_8_sig"}):
        try:
            encoding = job(encoding=name).encoding
        except ValidationError:
            continue
        n_taken += 1
        assert encoding is not None
        for content in contents:
            path.write_bytes(content)
            text = Text(find(str(path))[0], encoding)
            try:
                while text.read(7):
                    pass
            except DataError as error:
                assert f"in.csv is not in {encoding}" in str(error)  # noqa: PT017 (others are read)
            finally:
                text.close()
    assert n_taken > 80


def test_utf_16_without_its_byte_order_is_told(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes("a,b\n1,2\n".encode("utf-16-le"))
    text = Text(find(str(path))[0], "utf-16")
    with pytest.raises(DataError, match=r"in\.csv is not in utf-16: .*such as utf-8, utf-16-le"):
        text.read(100)
    text.close()
