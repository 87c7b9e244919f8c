"""`sepal predict`: rows as people type them or have them in files, against the real gateway."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from sepal.cli.commands import app
from sepal.cli.rows import rows_of_text
from sepal.client import ModelDescription
from sepal.scoring.columns import _booleans as BOOLEANS  # noqa: N812
from sepal.settings import Settings
from tests.gateway.conftest import IRIS, FakeModelServer, gateway, model_server, settings_for

__all__ = ["model_server"]

WORDS = [f"{name}={value}" for name, value in IRIS.items()]


@dataclass
class Ended:
    """How a command ended."""

    code: int
    output: str
    error: BaseException | None

    @property
    def json(self) -> Any:  # noqa: ANN401
        assert self.code == 0, self.output
        return json.loads(self.output)


Run = Callable[..., Awaitable[Ended]]


@pytest.fixture
async def predict(model_server: FakeModelServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Run]:
    """Runs `sepal predict` with arguments, and what is on standard input."""

    async def run(*arguments: str, given: str = "") -> Ended:
        ended = await asyncio.to_thread(CliRunner().invoke, app, ["predict", *arguments], input=given)
        error = ended.exception
        code = getattr(error, "exit_code", ended.exit_code)
        return Ended(code, ended.output, error)

    async with gateway(settings_for(model_server)) as session:
        monkeypatch.setenv("SEPAL_CLIENT_URL", str(session._base_url))
        yield run


async def test_a_row_in_quotes(predict: Run) -> None:
    ended = await predict("iris", "--row", " ".join(WORDS), "--format", "json")
    assert ended.json == {"output": "Iris-virginica", "model_name": "fake_7"}


async def test_a_row_without_quotes(predict: Run) -> None:
    for words in (["--row", *WORDS], WORDS):
        ended = await predict("iris", *words, "--format", "json")
        assert ended.json["output"] == "Iris-virginica"


async def test_rows_in_quotes_by_alias_and_as_json(predict: Run) -> None:
    rows = ["SepalLengthCm=1,SepalWidthCm=2,PetalLengthCm=3,PetalWidthCm=4", json.dumps(IRIS)]
    rows.append("'sepal length (cm)=3' SepalWidthCm=2 PetalLengthCm=3 PetalWidthCm=4")
    ended = await predict("iris", *(part for row in rows for part in ("--row", row)), "--format", "json")
    assert [answer["output"] for answer in ended.json] == [
        "Iris-versicolor",
        "Iris-virginica",
        "Iris-setosa",
    ]


async def test_the_table_has_the_row_the_answer_and_the_version(predict: Run) -> None:
    ended = await predict("iris", *WORDS, "--proba")
    assert ended.code == 0
    for told in ("Iris-virginica", "fake_7", "1.0000", "Iris-setosa"):
        assert told in ended.output


async def test_a_number_is_shown_with_its_unit(predict: Run) -> None:
    ended = await predict("ride_duration", "PULocationID=10", "DOLocationID=50", "trip_distance=40")
    assert "prediction (minutes)" in ended.output


async def test_a_csv_file_of_which_other_columns_are_left_out(predict: Run, tmp_path: Path) -> None:
    file = tmp_path / "flowers.csv"
    header = "\ufeffId,SepalLengthCm,SepalWidthCm,PetalLengthCm,PetalWidthCm,Species"
    file.write_text(f"{header}\n1,5,2,3,4,x\n2,6,2,3,4,y\n", encoding="utf-8")
    ended = await predict("iris", "--input", str(file), "--format", "json")
    assert [answer["output"] for answer in ended.json] == ["Iris-virginica", "Iris-setosa"]


async def test_an_empty_cell_is_a_missing_value_and_whole_numbers_may_have_a_point(predict: Run) -> None:
    text = (
        "pickup_location_id,DOLocationID,trip_distance,pickup_datetime\n"
        "10.0,50,1.5,\n20,50,2,2019-01-15T08:30:00\n"
    )
    ended = await predict("ride_duration", "--format", "json", given=text)
    assert [answer["output"] for answer in ended.json] == [5, 10]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([IRIS, IRIS]),
        json.dumps([IRIS, IRIS], indent=2),
        f"{json.dumps(IRIS)}\n\n{json.dumps(IRIS)}\n",
    ],
)
async def test_json_and_json_lines_on_standard_input(predict: Run, text: str) -> None:
    ended = await predict("iris", "--input", "-", "--format", "json", given=text)
    assert len(ended.json) == 2


async def test_one_object_over_several_lines_is_one_row(predict: Run) -> None:
    ended = await predict("iris", "--format", "json", given=json.dumps(IRIS, indent=2))
    assert len(ended.json) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the input is empty"),
        ("a,b\n1,2\n", "names no feature of iris, which takes SepalLengthCm"),
        ("[1]", "Row 0 is 1: a row is an object"),
        ("[{]", "The JSON of the input can't be read"),
        ('{"a": 1}\n{"a"\n', "The JSON of line 2 can't be read"),
        ("SepalLengthCm\nlong\n", "422 Wrong values: "),
    ],
)
async def test_rows_that_can_not_be_used_end_it_with_5(predict: Run, text: str, told: str) -> None:
    ended = await predict("iris", given=text)
    assert ended.code == 5
    assert told in str(ended.error)


async def test_a_value_that_is_none_is_told_by_the_service(predict: Run) -> None:
    ended = await predict("iris", "SepalLengthCm=long", *WORDS[1:])
    assert ended.code == 5
    assert "SepalLengthCm: Input should be a valid number" in str(ended.error)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--row", "SepalLengthCm"], "is not NAME=VALUE"),
        (["--row", "a=1 a=2"], "a comes twice"),
        (["--row", "'a=1"], "No closing quotation"),
        (["--row", "a=1", "--row", "a=2", "b=2"], "put each row in quotes"),
        (["--row", "a=1", "--input", "x.csv"], "not by both"),
    ],
)
async def test_wrong_options_end_it_with_2(predict: Run, arguments: list[str], told: str) -> None:
    ended = await predict("iris", *arguments)
    assert ended.code == 2
    assert told in " ".join(ended.output.replace("│", " ").split())


async def test_an_unknown_model_and_an_unknown_file_end_it_with_4(predict: Run, tmp_path: Path) -> None:
    ended = await predict("tulip", "a=1")
    assert ended.code == 4
    assert "It has: iris, ride_duration" in str(ended.error)
    ended = await predict("iris", "--input", str(tmp_path / "nowhere.csv"))
    assert ended.code == 4


async def test_a_service_that_is_away_ends_it_with_16(predict: Run, unused_tcp_port: int) -> None:
    ended = await predict("iris", *WORDS, "--url", f"http://127.0.0.1:{unused_tcp_port}", "--timeout", "1")
    assert ended.code == 16


async def test_a_byte_order_mark_on_standard_input_is_no_part_of_a_name(predict: Run) -> None:
    header = "\ufeffSepalLengthCm,SepalWidthCm,PetalLengthCm,PetalWidthCm"
    ended = await predict("iris", "--format", "json", given=f"{header}\n5,2,3,4\n")
    assert [answer["output"] for answer in ended.json] == ["Iris-virginica"]
    ended = await predict("iris", "--format", "json", given="\ufeff" + json.dumps([IRIS]))
    assert len(ended.json) == 1


async def test_a_column_that_is_left_out_may_be_long(predict: Run) -> None:
    text = f"Note,SepalLengthCm,SepalWidthCm,PetalLengthCm,PetalWidthCm\n{'x' * 200_000},5,2,3,4\n"
    ended = await predict("iris", "--format", "json", given=text)
    assert [answer["output"] for answer in ended.json] == ["Iris-virginica"]


def test_text_is_read_as_a_bulk_run_reads_it() -> None:
    """`1` is no boolean: in a JSON request and in `sepal score` it is none either."""
    model = ModelDescription.model_validate(
        {
            "name": "ride",
            "features": [{"name": "shared", "kind": "boolean", "optional": False}],
            "target": {},
            "readiness": {"ready": True},
        }
    )
    for text, expected in {"true": True, "False": False, "1": "1", "0": "0", "yes": "yes"}.items():
        assert rows_of_text(f"shared\n{text}\n", model) == [{"shared": expected}]
        [encoded] = BOOLEANS(pl.Series([text])).to_list()
        assert encoded == (float(expected) if isinstance(expected, bool) else None)


def test_keys_are_not_shown_with_the_settings() -> None:
    assert "hush" not in repr(Settings.model_validate({"client_api_key": "hush", "client_token": "hush"}))
