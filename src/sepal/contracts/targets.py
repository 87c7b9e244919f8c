"""What a model gives for a row: a label with probabilities, or a quantity with a unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from sepal.contracts.names import check_names
from sepal.errors import ConfigurationError

Probability = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Labels:
    """A class out of a fixed list.

    On the wire: the label's position in `names`, then a probability for each name.
    `column` is the target's name in training data, `example` the answer that
    documentation shows for the features' examples.
    """

    names: tuple[str, ...]
    column: str
    example: str
    has_probabilities: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names) or len(self.names) < 2:
            raise ConfigurationError(f"A contract needs two or more different labels, not {self.names}.")
        check_names(f"The labels of {self.column!r}", self.names)
        if self.example not in self.names:
            raise ConfigurationError(f"The example {self.example!r} is none of the labels {self.names}.")

    @property
    def width(self) -> int:
        """How many numbers answer one row."""
        return 1 + len(self.names)

    @property
    def output_type(self) -> Any:  # noqa: ANN401 (a type made at run time)
        """The type of `output` in an answer."""
        return Literal[self.names]

    @property
    def probabilities_type(self) -> Any:  # noqa: ANN401 (a type made at run time)
        """The type of `probabilities` in an answer: every label with its probability."""
        return Annotated[
            dict[self.output_type, Probability],  # type: ignore[name-defined]  # made at run time
            Field(min_length=len(self.names), max_length=len(self.names)),
        ]

    def accepts(self, columns: Sequence[Sequence[float]]) -> bool:
        """Whether the `width` columns of some answers can be answers, as a whole and at C's speed."""
        codes, *probabilities = columns
        return set(codes) <= self._codes and all(
            all(map(isfinite, column)) and min(column) >= 0 and max(column) <= 1 for column in probabilities
        )

    @cached_property
    def _codes(self) -> set[float]:
        return set(map(float, range(len(self.names))))

    def describe(self) -> dict[str, Any]:
        """For people and for the contract's signature."""
        return {"labels": list(self.names)}


@dataclass(frozen=True)
class Quantity:
    """A number with a unit. On the wire: that number."""

    column: str
    unit: str
    example: float
    has_probabilities: ClassVar[bool] = False
    width: ClassVar[int] = 1
    output_type: ClassVar[Any] = float

    def accepts(self, columns: Sequence[Sequence[float]]) -> bool:
        """Whether the column of some answers can be answers: JSON has no NaN and no infinity."""
        return all(map(isfinite, columns[0]))

    def describe(self) -> dict[str, Any]:
        """For people and for the contract's signature."""
        return {"quantity": self.column, "unit": self.unit}


Target: TypeAlias = Labels | Quantity
