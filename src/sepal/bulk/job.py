"""A job: what is to be scored, from where to where, and how; the same from every side that asks."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sepal.bulk.formats import Format, check_encoding, format_of
from sepal.errors import DataError

Column = Annotated[str, Field(min_length=1, max_length=200)]


def _check_share(text: str) -> str:
    number = float(text.removesuffix("%"))
    if number < 0 or (text.endswith("%") and number > 100) or (not text.endswith("%") and number % 1):
        raise ValueError("give a count such as 100, or a share such as 1%")
    return text


MaxRejected = Annotated[str, Field(pattern=r"^\d+(\.\d+)?%?$"), AfterValidator(_check_share)]
"""A count of rows such as `100`, or a share of them such as `1%`."""


class Options(BaseModel):
    """How files are scored, wherever they are: `keep` names columns to carry over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str | None = Field(None, description="The version that scores; by default the champion.")
    input_format: Format | None = Field(None, description="By default what the input's name says.")
    output_format: Format | None = Field(None, description="By default what the output's name says.")
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    encoding: str | None = Field(None, description="Of text: utf-8 or what its byte order mark says.")
    keep: tuple[Column, ...] | Literal["all"] = ()
    proba: bool = Field(False, description="Whether each label's probability is written too.")
    prediction_name: Column = "prediction"
    row_id: Column | None = Field(None, description="A column of this name says file and line of each row.")
    partition_by: tuple[Column, ...] = ()
    max_rejected: MaxRejected = "1%"
    sample: Annotated[int, Field(ge=1)] | None = Field(None, description="Score only so many rows.")


class Job(Options):
    """Files to score: `input` and `output` are paths or URLs."""

    model: str
    input: str
    output: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.partition_by and self.format_of_output != "parquet":
            raise ValueError("only Parquet can be partitioned: give --format parquet")
        check_encoding(self.encoding)
        return self

    @property
    def format_of_output(self) -> Format:
        """As asked for, or as the output's name says; a partitioned folder is Parquet."""
        found = self.output_format or format_of(self.output) or ("parquet" if self.partition_by else None)
        if found is None:
            raise DataError(
                f"{self.output} does not say its format by its name: end it with .csv, .csv.gz, .parquet "
                "or .jsonl, or give --format."
            )
        return found

    def too_many(self, rejected: int, rows: int) -> bool:
        """Whether so many rejected ones of so many rows are more than allowed."""
        if self.max_rejected.endswith("%"):
            return rejected > rows * float(self.max_rejected.removesuffix("%")) / 100
        return rejected > int(self.max_rejected)
