"""A contract: what a model takes and gives. All that is known of a model's rows is derived here."""

import hashlib
import inspect
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from sepal.contracts import wire
from sepal.contracts.features import NUMERIC, Feature, Features
from sepal.contracts.targets import Labels, Target
from sepal.errors import ArtefactError, ConfigurationError, DataError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Contract:
    """One model's contract: the class of its rows, and its target.

    `name` is the model's name everywhere: in paths, in the registry, on the command line.
    """

    name: str
    features: type[Features]
    target: Target

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"{self.name!r} can't name a model: use lower-case letters, digits and _, a letter first."
            )
        if not self.columns:
            raise ConfigurationError(f"Contract {self.name!r} has no features.")
        known = Counter(name for column in self.columns for name in (column.name, *column.aliases))
        if twice := [name for name, count in known.items() if count > 1]:
            raise ConfigurationError(
                f"Two features of {self.name!r} go by one name or alias: {', '.join(twice)}. Keep one."
            )

    @property
    def source(self) -> Path:
        """The file that defines it."""
        return Path(inspect.getfile(self.features))

    @property
    def description(self) -> str:
        """What the model is for: its features' docstring."""
        return inspect.getdoc(self.features) or ""

    @cached_property
    def columns(self) -> tuple[Feature, ...]:
        """The features in wire order."""
        return tuple(Feature.from_field(name, field) for name, field in self.features.model_fields.items())

    @cached_property
    def column_of(self) -> dict[str, str]:
        """The feature's name for each name that data may use for it."""
        return {known: column.name for column in self.columns for known in (column.name, *column.aliases)}

    @cached_property
    def example(self) -> dict[str, Any]:
        """A row as JSON, from the features' examples."""
        return {column.name: column.example for column in self.columns if not column.optional}

    @cached_property
    def signature(self) -> str:
        """SHA-256 of all that gives the numbers on the wire their meaning."""
        meaning = {
            "features": [[c.name, c.kind, c.optional, c.categories, c.unit] for c in self.columns],
            "target": self.target.describe(),
        }
        return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()

    @property
    def answer_width(self) -> int:
        """Numbers in the answer to one row: the version's, then the target's."""
        return 1 + self.target.width

    def encode(self, rows: Iterable[Features]) -> bytes:
        """Rows to the bytes of a float64 matrix of shape (n_rows, n_features)."""
        values = map(self._values_of, map(vars, rows))
        if self._encoders is None:
            return wire.pack(chain.from_iterable(values))
        encoders = self._encoders
        return wire.pack(encode(v) for row in values for encode, v in zip(encoders, row, strict=True))

    @cached_property
    def _values_of(self) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
        names = [column.name for column in self.columns]
        return itemgetter(*names) if len(names) > 1 else lambda values: (values[names[0]],)

    @cached_property
    def _encoders(self) -> list[Callable[[Any], float]] | None:
        """Each column's, or None where every value already is its own float64."""
        if all(column.kind in NUMERIC and not column.optional for column in self.columns):
            return None
        return [column.encode for column in self.columns]

    def decode(self, body: bytes) -> list[Features]:
        """The inverse of `encode`."""
        numbers = wire.unpack(body)
        decoders = [(column.name, column.decode) for column in self.columns]
        return [
            self.features(
                **{
                    name: decode(number)
                    for (name, decode), number in zip(
                        decoders, numbers[start : start + len(decoders)], strict=True
                    )
                }
            )
            for start in range(0, len(numbers), len(decoders))
        ]

    def check_version(self, tag: str, signature: str) -> None:
        """Raise ArtefactError if a version was trained for a contract of another signature."""
        if signature != self.signature:
            raise ArtefactError(
                f"{tag} was trained for another contract of {self.name} than the one in {self.source}. "
                "Serve it with the contract that it was trained for."
            )

    def match_columns(self, found: Sequence[str]) -> dict[str, str]:
        """Which of the columns found in a file is which feature: feature name to found name.

        A required feature that is missing, or that two columns claim, is a DataError
        naming the columns missing, those found, and which of these may be meant.
        """
        matched: dict[str, str] = {}
        for name in found:
            if (feature := self.column_of.get(name)) is None:
                continue
            if feature in matched:
                raise DataError(
                    f"Columns {matched[feature]!r} and {name!r} both are {self.name}'s {feature}: keep one."
                )
            matched[feature] = name
        missing = [c.name for c in self.columns if not c.optional and c.name not in matched]
        if missing:
            unknown = [str(name) for name in found if name not in self.column_of]
            raise DataError(
                f"Missing for {self.name}: {', '.join(missing)}. "
                f"Columns found: {few(list(map(str, found))) or 'none'}.{self._meant(missing, unknown)}"
            )
        return matched

    def _meant(self, missing: Sequence[str], unknown: Sequence[str]) -> str:
        """For each missing feature the unknown column whose name is the nearest to one of its names."""
        by_lower = {name.lower(): name for name in unknown}
        hints = []
        for feature in missing:
            names = [known for known, column in self.column_of.items() if column == feature]
            near = [n for known in names for n in get_close_matches(known.lower(), by_lower, 1, 0.7)]
            hints += [f"{by_lower[near[0]]!r} for {feature}"] if near else []
        return f" Perhaps {', '.join(hints)}?" if hints else ""

    @cached_property
    def prediction(self) -> type[BaseModel]:
        """The model of one answer of `predict`."""
        return self._answer_model("Prediction", {})

    @cached_property
    def prediction_with_probabilities(self) -> type[BaseModel]:
        """The model of one answer of `predict-proba`; TypeError for a target without probabilities."""
        if not isinstance(self.target, Labels):
            raise TypeError(f"{self.name} has no probabilities.")
        probabilities = (
            self.target.probabilities_type,
            Field(description="Each label's probability."),
        )
        return self._answer_model("Probabilities", {"probabilities": probabilities})

    def _answer_model(self, suffix: str, more: dict[str, Any]) -> type[BaseModel]:
        unit = getattr(self.target, "unit", None)
        output = Field(
            description=f"{self.target.column}{f', in {unit}' if unit else ''}.",
            examples=[self.target.example],
        )
        version = Field(description="The version that answered.", examples=["log_reg_1"])
        return create_model(
            f"{self.features.__name__}{suffix}",
            __config__=ConfigDict(protected_namespaces=()),
            output=(self.target.output_type, output),
            model_name=(str, version),
            **more,
        )


def few(names: Sequence[str], most: int = 50) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
