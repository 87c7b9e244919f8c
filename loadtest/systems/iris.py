"""The request that the FastAPI systems take: the limits are those of Sepal's contract."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Length = Annotated[float, Field(gt=0, le=30)]


class Iris(BaseModel):
    """Four lengths in cm."""

    model_config = ConfigDict(extra="forbid")

    SepalLengthCm: Length
    SepalWidthCm: Length
    PetalLengthCm: Length
    PetalWidthCm: Length

    def row(self) -> list[float]:
        """The lengths in the order of the model's columns."""
        return [self.SepalLengthCm, self.SepalWidthCm, self.PetalLengthCm, self.PetalWidthCm]


class Answer(BaseModel):
    """A label."""

    output: str
