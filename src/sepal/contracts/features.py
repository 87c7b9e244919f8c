"""One feature: what values it takes, and how a value travels as a float64."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, TypeAlias, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic.types import NaiveDatetime

from sepal.contracts.names import check_names
from sepal.errors import ConfigurationError

LARGEST_EXACT_INTEGER = 2**53 - 1
"""Up to it, float64 tells every integer from its neighbours (IEEE 754, 53-bit significand)."""

Kind: TypeAlias = Literal["number", "integer", "boolean", "category", "time"]


def _refuse_numbers(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError("give the time as text, such as 2019-01-15T08:30:00")
    return value


def _refuse_text_and_booleans(value: object) -> object:
    if isinstance(value, str | bytes | bool):
        raise ValueError("Input should be a valid integer")
    return value


Integer = Annotated[int, Strict(strict=False), BeforeValidator(_refuse_text_and_booleans)]
"""A whole number, which JSON may also write as `82.0`; a plain `int` takes only `82`."""

WallClock = Annotated[
    NaiveDatetime,
    Strict(strict=False),
    BeforeValidator(_refuse_numbers),
    WithJsonSchema({"type": "string", "format": "date-time-local"}),
]
"""A local date and time with no offset, such as `2019-01-15T08:30:00`.

Format `date-time-local`: https://spec.openapis.org/registry/format/date-time-local
"""


class Features(BaseModel):
    """A row of a model's input. Each field is a feature; their order is the order on the wire.

    Values are taken strictly (no numeric strings, no booleans for numbers), must be
    finite, and unknown fields are refused.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        field_title_generator=lambda name, _: name,
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401 (Pydantic's signature)
        """Let every field be given by its own name as well as by its aliases.

        And put bounds before validators of other kinds, wherever they were written: only
        there does the JSON schema show them as `minimum` and `maximum`.
        """
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            if aliases := _aliases(field):
                field.validation_alias = AliasChoices(name, *aliases)
            bare, optional, metadata = _unwrap(field.annotation, field.metadata)
            metadata.sort(key=lambda item: isinstance(item, BeforeValidator | WithJsonSchema))
            annotated: Any = Annotated[(bare, *metadata)] if metadata else bare
            field.annotation, field.metadata = annotated | None if optional else annotated, []
        cls.model_rebuild(force=True)


def feature(
    *aliases: str,
    example: object,
    description: str,
    unit: str | None = None,
    optional: bool = False,
) -> Any:  # noqa: ANN401 (as pydantic.Field, so that it fits every annotation)
    """Describe a field of `Features`.

    `aliases` are other names under which data files and clients have it; an
    `optional` feature may be left out or null, and reaches the model as NaN.
    """
    extra: dict[str, Any] = {"unit": unit} if unit else {}
    return Field(
        default=None if optional else ...,
        examples=[example],
        description=description,
        validation_alias=AliasChoices(*aliases) if aliases else None,
        json_schema_extra=extra or None,
    )


NUMERIC: frozenset[Kind] = frozenset({"number", "integer", "boolean"})
"""The kinds whose values are numbers to Python, and go into a float64 as they are."""


@dataclass(frozen=True)
class Feature:
    """What a contract knows of one of its features; derived from the Pydantic field."""

    name: str
    aliases: tuple[str, ...]
    kind: Kind
    optional: bool
    unit: str | None
    description: str
    example: object
    categories: tuple[str, ...] = ()
    greater_than: float | None = None
    at_least: float | None = None
    less_than: float | None = None
    at_most: float | None = None

    @classmethod
    def from_field(cls, name: str, field: FieldInfo) -> Self:
        """Read one Pydantic field; a type with no place in a float64 is a ConfigurationError."""
        bare, optional, metadata = _unwrap(field.annotation, field.metadata)
        if optional is field.is_required():
            raise ConfigurationError(
                f"Feature {name!r} is optional by its type or by its description alone: "
                "an optional one needs both `| None` and optional=True, a required one neither."
            )
        kind, categories = _kind(name, bare)
        bounds = {
            label: _bound(getattr(item, attribute))
            for item in metadata
            for bound, attribute, label in _BOUNDS
            if isinstance(item, bound)
        }
        extra = field.json_schema_extra
        described = cls(
            name=name,
            aliases=tuple(alias for alias in _aliases(field) if alias != name),
            kind=kind,
            optional=optional,
            unit=str(extra["unit"]) if isinstance(extra, dict) and "unit" in extra else None,
            description=field.description or "",
            example=field.examples[0] if field.examples else None,
            categories=categories,
            **bounds,
        )
        described._check_exactness()
        check_names(f"Feature {name!r}", categories)
        return described

    @property
    def range(self) -> tuple[float | None, float | None]:
        """The lower and the upper end of its values, themselves taken or not; None where it is open."""
        low = self.at_least if self.at_least is not None else self.greater_than
        high = self.at_most if self.at_most is not None else self.less_than
        return low, high

    @cached_property
    def encode(self) -> Callable[[Any], float]:
        """The function from a value of this feature to its float64; None becomes NaN."""
        encode = (
            _ENCODERS.get(self.kind) or {c: float(i) for i, c in enumerate(self.categories)}.__getitem__
        )
        if not self.optional:
            return encode
        return lambda value: NAN if value is None else encode(value)

    @cached_property
    def decode(self) -> Callable[[float], Any]:
        """The inverse of `encode`."""
        decode = _DECODERS.get(self.kind) or (lambda code: self.categories[int(code)])
        if not self.optional:
            return decode
        return lambda number: None if number != number else decode(number)

    def _check_exactness(self) -> None:
        low, high = self.range
        if self.kind not in ("integer", "time"):
            return
        if low is None or high is None or max(abs(low), abs(high)) > _LARGEST[self.kind]:
            raise ConfigurationError(
                f"Feature {self.name!r} needs a lower and an upper bound that float64 holds exactly: "
                f"at most {_LARGEST_TOLD[self.kind]}."
            )


NAN = float("nan")

_BOUNDS = (
    (Gt, "gt", "greater_than"),
    (Ge, "ge", "at_least"),
    (Lt, "lt", "less_than"),
    (Le, "le", "at_most"),
)
_EPOCH = datetime(1970, 1, 1)


def _seconds(moment: datetime) -> float:
    """Seconds from 1970-01-01T00:00:00 on the same wall clock."""
    return (moment.replace(tzinfo=UTC) - _EPOCH.replace(tzinfo=UTC)).total_seconds()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(round(seconds * 1e6) // 1_000_000, UTC).replace(
        tzinfo=None, microsecond=round(seconds * 1e6) % 1_000_000
    )


_ENCODERS: dict[Kind, Callable[[Any], float]] = {
    "number": float,
    "integer": float,
    "boolean": float,
    "time": _seconds,
}
_DECODERS: dict[Kind, Callable[[float], Any]] = {
    "number": float,
    "integer": int,
    "boolean": bool,
    "time": _moment,
}
_LARGEST: dict[Kind, float] = {
    "integer": LARGEST_EXACT_INTEGER,
    "time": 2.0**32,  # seconds; up to there float64 holds every microsecond
}
_LARGEST_TOLD: dict[Kind, str] = {"integer": f"{LARGEST_EXACT_INTEGER}", "time": "the year 2106"}
_SCALARS: dict[object, Kind] = {
    float: "number",
    int: "integer",
    bool: "boolean",
    NaiveDatetime: "time",
}


def _unwrap(annotation: object, metadata: list[object]) -> tuple[object, bool, list[object]]:
    """The bare type of a field, whether it may be None, and all the metadata on it."""
    if get_origin(annotation) is Annotated:
        bare, *items = get_args(annotation)
        for item in items:
            metadata = [*metadata, *(item.metadata if isinstance(item, FieldInfo) else (item,))]
        return _unwrap(bare, metadata)
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not NoneType]
        if len(members) == 1:
            bare, _, metadata = _unwrap(members[0], metadata)
            return bare, True, metadata
    return annotation, False, metadata


def _kind(name: str, bare: object) -> tuple[Kind, tuple[str, ...]]:
    """The kind of a bare type, and its categories if it has any."""
    if get_origin(bare) is Literal and all(isinstance(c, str) for c in get_args(bare)):
        return "category", get_args(bare)
    if kind := _SCALARS.get(bare):
        return kind, ()
    raise ConfigurationError(
        f"Feature {name!r} is of type {bare}, which a contract can't hold: "
        "use float, int, Integer, bool, WallClock or a Literal of strings, or one of these | None."
    )


def _bound(value: object) -> float:
    return _seconds(value) if isinstance(value, datetime) else float(value)  # type: ignore[arg-type]


def _aliases(field: FieldInfo) -> tuple[str, ...]:
    choices = field.validation_alias
    return tuple(str(choice) for choice in choices.choices) if isinstance(choices, AliasChoices) else ()
