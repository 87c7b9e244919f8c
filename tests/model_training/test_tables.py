"""Tables: encoded as the contract encodes, and every row left out is counted under its reason."""

import csv
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field

from model_training.tables import Sieve, encode, read_examples, read_table
from sepal.contracts import Contract, Features, Labels, Quantity, WallClock, feature
from sepal.errors import DataError, NotFoundError


class Everything(Features):
    """One feature of each kind."""

    number: Annotated[float, Field(gt=-1e9, lt=1e9)] = feature("Number", example=1.0, description="")
    whole: Annotated[int, Field(ge=-(2**40), le=2**40)] = feature(example=1, description="")
    flag: bool = feature(example=True, description="")
    colour: Literal["red", "None", "NA"] = feature(example="red", description="")
    when: Annotated[WallClock, Field(ge=datetime(1950, 1, 1), lt=datetime(2100, 1, 1))] | None = feature(
        example="2019-01-15T08:30:00", description="", optional=True
    )
    maybe: Annotated[float, Field(ge=0, le=5)] | None = feature(example=1.0, description="", optional=True)


EVERYTHING = Contract("everything", Everything, Quantity("answer", unit="m", example=1.0))
CATS = Contract("cats", Everything, Labels(("a", "b"), column="answer", example="a"))

ROWS = st.builds(
    Everything,
    number=st.floats(-1e9, 1e9, exclude_min=True, exclude_max=True),
    whole=st.integers(-(2**40), 2**40),
    flag=st.booleans(),
    colour=st.sampled_from(["red", "None", "NA"]),
    when=st.none() | st.datetimes(datetime(1950, 1, 1), datetime(2099, 12, 31)),
    maybe=st.none() | st.floats(0, 5),
)
GOOD: dict[str, Any] = {"Number": "1.5", "whole": "2", "flag": "true", "colour": "red", "answer": "7"}


def _encoded_from(path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    names = [column.name for column in EVERYTHING.columns]
    table = read_table(path, names)
    sieve = Sieve(len(table))
    encoded = encode(EVERYTHING, table, {name: name for name in names}, sieve)
    assert sieve.dropped == {}
    return encoded


def _csv(path: Path, *rows: dict[str, Any]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(rows=st.lists(ROWS, min_size=1, max_size=6))
def test_a_csv_table_is_encoded_as_the_contract_encodes_its_rows(
    tmp_path: Path, rows: list[Everything]
) -> None:
    path = _csv(tmp_path / "rows.csv", *(row.model_dump() for row in rows))
    assert _encoded_from(path).tobytes() == EVERYTHING.encode(rows)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(rows=st.lists(ROWS, min_size=1, max_size=6))
def test_a_parquet_table_is_encoded_as_the_contract_encodes_its_rows(
    tmp_path: Path, rows: list[Everything]
) -> None:
    path = tmp_path / "rows.parquet"
    pd.DataFrame([row.model_dump() for row in rows]).to_parquet(path)
    assert _encoded_from(path).tobytes() == EVERYTHING.encode(rows)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"Number": ""}, "number missing"),
        ({"Number": "much"}, "number not a number"),
        ({"Number": "inf"}, "number not a number"),
        ({"Number": "nan"}, "number not a number"),
        ({"Number": "1e9"}, "number not under 1e+09"),
        ({"Number": "-1e9"}, "number not over -1e+09"),
        ({"whole": "2.5"}, "whole not a whole number"),
        ({"whole": "-9e15"}, "whole under -1.09951e+12"),
        ({"flag": "yes"}, "flag not true or false"),
        ({"colour": "mauve"}, "colour an unknown category"),
        ({"when": "soon"}, "when not a wall-clock time"),
        ({"when": "2019-01-15T08:30:00+01:00"}, "when not a wall-clock time"),
        ({"when": "2019-01-15T08:30:00Z"}, "when not a wall-clock time"),
        ({"when": "1949-12-31T00:00:00"}, "when under 1950-01-01T00:00:00"),
        ({"when": "2100-01-01"}, "when not under 2100-01-01T00:00:00"),
        ({"maybe": "5.5"}, "maybe over 5"),
        ({"answer": ""}, "answer missing"),
        ({"answer": "many"}, "answer not a number"),
        ({"Number": "", "whole": "x"}, "number missing"),
    ],
)
def test_a_row_outside_the_contract_is_left_out_and_counted(
    tmp_path: Path, wrong: dict[str, str], reason: str
) -> None:
    good = {**GOOD, "when": "", "maybe": ""}
    data = read_examples(_csv(tmp_path / "rows.csv", good, {**good, **wrong}), EVERYTHING)
    assert data.dropped == {reason: 1}
    assert data.X.shape == (1, 6)
    assert data.y.tolist() == [7.0]


def test_an_unknown_label_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [{**GOOD, "answer": answer} for answer in ("a", "c", "b", "")]
    data = read_examples(_csv(tmp_path / "rows.csv", *rows), CATS)
    assert data.dropped == {"answer missing": 1, "answer an unknown label": 1}
    assert data.y.tolist() == ["a", "b"]


def test_optional_columns_may_be_absent(tmp_path: Path) -> None:
    data = read_examples(_csv(tmp_path / "rows.csv", GOOD), EVERYTHING)
    assert np.isnan(data.X[0, 4:]).all()


def test_a_wrong_header_is_told_with_the_columns_missing_and_found(tmp_path: Path) -> None:
    path = _csv(tmp_path / "rows.csv", {"Number": "1", "what": "2"})
    with pytest.raises(DataError, match=r"everything: whole, flag, colour\. Columns found: Number, what"):
        read_examples(path, EVERYTHING)


def test_a_missing_target_is_told_with_the_columns_found(tmp_path: Path) -> None:
    path = _csv(tmp_path / "rows.csv", {name: value for name, value in GOOD.items() if name != "answer"})
    with pytest.raises(
        DataError, match=r"Missing for training everything: answer\. Columns found: Number,"
    ):
        read_examples(path, EVERYTHING)


def test_two_columns_of_one_feature_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("number,number,whole,flag,colour,answer\n1,2,3,true,red,4\n")
    with pytest.raises(DataError, match="both are everything's number"):
        read_examples(path, EVERYTHING)


def test_no_row_left_is_told_with_the_reasons(tmp_path: Path) -> None:
    path = _csv(tmp_path / "rows.csv", {**GOOD, "whole": "x"})
    with pytest.raises(DataError, match="whole not a number: 1"):
        read_examples(path, EVERYTHING)


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_an_empty_file_is_told_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=f"{name} can't be read"):
        read_examples(tmp_path / name, EVERYTHING)


def test_a_file_of_another_kind_is_told_which_there_are(tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").touch()
    with pytest.raises(DataError, match=r"neither CSV nor Parquet by its name: \.csv"):
        read_examples(tmp_path / "rows.xlsx", EVERYTHING)


def test_a_missing_file_is_told_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere\.csv.*--data"):
        read_examples(tmp_path / "nowhere.csv", EVERYTHING)


def test_a_file_with_blanks_after_its_commas_is_read_as_the_contract_names_its_values(
    tmp_path: Path,
) -> None:
    class Adult(Features):
        """As the census file of UCI has them."""

        age: float = feature(example=39.0, description="")
        work: Literal[" Private", " State-gov"] = feature(example=" Private", description="")

    contract = Contract("adult", Adult, Labels((" <=50K", " >50K"), column="income", example=" >50K"))
    path = tmp_path / "adult.csv"
    path.write_text("age,work,income\n39, State-gov, <=50K\n50, Private, >50K\n38,Private,>50K\n")
    found = read_examples(path, contract)
    assert not found.dropped
    assert found.X.tolist() == [[39.0, 1.0], [50.0, 0.0], [38.0, 0.0]]
    assert found.y.tolist() == [" <=50K", " >50K", " >50K"]
