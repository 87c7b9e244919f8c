"""What the model server says of its models, in the shape that the gateway takes it in."""

from typing import Any

from pydantic import BaseModel, Field, TypeAdapter


class RefusedVersion(BaseModel):
    """A version that should answer and does not."""

    version: str | None = Field(None, description="The version, if it is known.", examples=["log_reg_2"])
    reason: str = Field(description="Why the model server could not take it up.")


class TrialStatus(BaseModel):
    """The trial that runs; the error, if its challenger can't be tried."""

    version: str
    mode: str
    error: str | None = None

    @property
    def answers(self) -> bool:
        """Whether its challenger answers some rows."""
        return self.mode == "canary" and self.error is None


class ModelStatus(BaseModel):
    """The version that answers for one model, or the error that keeps it from answering."""

    version: str | None = None
    error: str | None = None
    refused: RefusedVersion | None = None
    trial: TrialStatus | None = None


STATUS = TypeAdapter(dict[str, ModelStatus])
VERSIONS = TypeAdapter(dict[str, list[dict[str, Any]]])
"""By the models' names."""
