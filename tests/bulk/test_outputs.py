"""What is left out of writing must not be missed: the bytes are those of polars' plain way."""

import polars as pl
import pytest

from sepal.bulk.outputs import Output


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"prediction": pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])), "p": [0.1, 1e-300]}),
        pl.DataFrame({"prediction": pl.Series(["a,b", "c"], dtype=pl.Enum(["a,b", "c"]))}),
        pl.DataFrame({"prediction": pl.Series(['"a"', "b\nc"], dtype=pl.Enum(['"a"', "b\nc"]))}),
        pl.DataFrame({"prediction": pl.Series(["", "c"], dtype=pl.Enum(["", "c"]))}),
        pl.DataFrame({"a,b": [1.5, 2.5]}),
        pl.DataFrame({"kept": ['with "quotes"', "a,b", "", None], "prediction": [1.0, 2.0, 3.0, 4.0]}),
        pl.DataFrame({"kept": [True, None], "prediction": [1.0, None]}),
    ],
)  # fmt: skip
def test_csv_is_quoted_where_it_must_be(frame: pl.DataFrame) -> None:
    output = Output.of("out.csv", "csv", ())

    (written,) = output.segments(frame, first=True)

    assert written.data.decode() == frame.write_csv()
