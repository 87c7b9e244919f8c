"""A job: what is to be scored, from where to where, and how; the same from every side that asks."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sepal.bulk.formats import Format, check_encoding, format_of
from sepal.contracts import Contract, Labels
from sepal.errors import DataError

Column = Annotated[str, Field(min_length=1, max_length=200)]


_SHARE = re.compile(r"(\d+)|(\d+(?:\.\d+)?)%")


def _check_share(text: str) -> str:
    found = _SHARE.fullmatch(text)
    if not found or float(found[2] or 0) > 100:
        raise ValueError("give a count of rows such as 100, or a share of them such as 1%")
    return text


def _check_delimiter(text: str) -> str:
    if len(text) != 1 or not text.isascii() or text in '"\r\n\0':
        raise ValueError("give one ASCII character, which is neither a quote nor a line break")
    return text


MaxRejected = Annotated[str, AfterValidator(_check_share)]
"""A count of rows such as `100`, or a share of them such as `1%`."""

Delimiter = Annotated[str, AfterValidator(_check_delimiter)]
Encoding = Annotated[str, AfterValidator(check_encoding)]


class Options(BaseModel):
    """How files are scored, wherever they are: `keep` names columns to carry over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str | None = Field(None, description="The version that scores; by default the champion.")
    input_format: Format | None = Field(None, description="By default what the input's name says.")
    output_format: Format | None = Field(None, description="By default what the output's name says.")
    delimiter: Delimiter = ","
    encoding: Encoding | None = Field(None, description="Of text: utf-8 or what its byte order mark says.")
    keep: tuple[Column, ...] | Literal["all"] = ()
    proba: bool = Field(False, description="Whether each label's probability is written too.")
    prediction_name: Column = "prediction"
    position_name: Column | None = Field(
        None, description="A column of this name says each label's position in the contract, from 0."
    )
    label_names: dict[str, str] = Field({}, description="Other words for some of the labels.")
    version_name: Column | None = Field("model_version", description="The column that names the version.")
    row_id: Column | None = Field(None, description="A column of this name says file and line of each row.")
    partition_by: tuple[Column, ...] = ()
    max_rejected: MaxRejected = "1%"
    sample: Annotated[int, Field(ge=1)] | None = Field(None, description="Score only so many rows.")


def probability_name(label: str) -> str:
    """The column of a label's probability."""
    return f"probability_{label}"


class Job(Options):
    """Files to score: `input` and `output` are paths or URLs."""

    model: str
    input: str
    output: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.format_of_output != "parquet" and self.partition_by:
            raise ValueError("only Parquet can be partitioned: give --format parquet")
        own = self.own_columns
        if len(set(own)) < len(own):
            raise ValueError(f"two columns of the output would have one name: {', '.join(own)}")
        others = [name for name in own if name != self.prediction_name]
        if not set(self.partition_by).isdisjoint(others):
            raise ValueError(f"the output can't be partitioned by {', '.join(others)}")
        if len(set(self.partition_by)) < len(self.partition_by):
            raise ValueError(f"a column is twice in what to partition by: {', '.join(self.partition_by)}")
        return self

    def check(self, contract: Contract) -> None:
        """DataError if it does not go with the contract that it is scored by."""
        target = contract.target
        if not isinstance(target, Labels):
            if self.proba:
                raise DataError(
                    f"{contract.name} gives a quantity, and has no probabilities: leave out --proba."
                )
            if self.label_names or self.position_name:
                raise DataError(f"{contract.name} gives a quantity: it has no labels to name or to number.")
            return
        if self.proba and (twice := {*self.own_columns} & {*map(probability_name, target.names)}):
            raise DataError(
                f"Two columns of the output would be {min(twice)!r}, which has a probability: rename the "
                "other."
            )
        if unknown := [name for name in self.label_names if name not in target.names]:
            raise DataError(
                f"{contract.name} has no label {unknown[0]!r} to give another word for. It has: "
                f"{', '.join(target.names)}."
            )
        words = [self.label_names.get(name, name) for name in target.names]
        if twice := {word for word in words if words.count(word) > 1}:
            raise DataError(f"Two labels would both be called {min(twice)!r}: give them different words.")

    @property
    def own_columns(self) -> list[str]:
        """The columns of the output that are no input's, but for probabilities."""
        names = (self.row_id, self.position_name, self.prediction_name, self.version_name)
        return [name for name in names if name is not None]

    @property
    def format_of_output(self) -> Format:
        """As asked for, or as the output's name says; a partitioned folder is Parquet."""
        found = self.output_format or format_of(self.output) or ("parquet" if self.partition_by else None)
        if found is None:
            raise ValueError(
                f"{self.output} does not say its format by its name: end it with .csv, .csv.gz, .parquet "
                "or .jsonl, or give --format"
            )
        return found

    def too_many(self, rejected: int, rows: int) -> bool:
        """Whether so many rejected ones of so many rows are more than allowed."""
        if self.max_rejected.endswith("%"):
            return rejected > rows * float(self.max_rejected.removesuffix("%")) / 100
        return rejected > int(self.max_rejected)
