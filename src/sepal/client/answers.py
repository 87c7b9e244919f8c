"""What the service answers, as typed objects; what it may add one day is left alone."""

from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from sepal.contracts import Contract
from sepal.errors import ServiceError

T = TypeVar("T")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Prediction(_Answer):
    """The answer to one row: `output` is a label, or a number in the unit of the model's target.

    `model_name` is the version that answered. `probabilities` are there if they were asked for.
    """

    output: str | float
    model_name: str
    probabilities: dict[str, float] | None = None


class FeatureDescription(_Answer):
    """One feature of a model."""

    name: str
    aliases: tuple[str, ...] = ()
    kind: str
    optional: bool
    unit: str | None = None
    description: str = ""


class ModelReadiness(_Answer):
    """Whether a model answers: by which version, or why not."""

    ready: bool
    version: str | None = None
    reason: str | None = None


class ModelDescription(_Answer):
    """One model that the service has: what it takes and gives."""

    name: str
    description: str = ""
    features: tuple[FeatureDescription, ...]
    target: dict[str, Any]
    readiness: ModelReadiness


_DESCRIPTIONS = TypeAdapter(list[ModelDescription])


def read_descriptions(body: bytes) -> list[ModelDescription]:
    """The answer of `/models`."""
    return _read(_DESCRIPTIONS, body)


def read_predictions(body: bytes, rows: int, contract: Contract | None) -> list[Prediction]:
    """The answer to an array of rows; ServiceError if it is none, or not one of this contract."""
    found = _read(_many(contract), body)
    if len(found) != rows:
        raise ServiceError(f"The service gave {len(found)} answers to {rows} rows.")
    return found


def read_prediction(body: bytes, contract: Contract | None) -> list[Prediction]:
    """The answer to a row that was sent alone."""
    return [_read(_one(contract), body)]


def _read(adapter: TypeAdapter[T], body: bytes) -> T:
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = "/".join(map(str, first["loc"]))
        raise ServiceError(
            f"The service's answer can't be read: {where or 'all of it'}: {first['msg']}. "
            "Is it Sepal, and of a release that suits this client?"
        ) from error


def _type(contract: Contract | None) -> type[Prediction]:
    if contract is None:
        return Prediction
    name = f"{contract.features.__name__}Prediction"
    output: Any = contract.target.output_type
    return create_model(name, __base__=Prediction, output=(output, ...))


@lru_cache(maxsize=64)
def _one(contract: Contract | None) -> TypeAdapter[Prediction]:
    return TypeAdapter(_type(contract))


@lru_cache(maxsize=64)
def _many(contract: Contract | None) -> TypeAdapter[list[Prediction]]:
    return TypeAdapter(list[_type(contract)])  # type: ignore[misc,arg-type]  # made at run time
