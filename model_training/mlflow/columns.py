"""Which columns an MLflow model takes, and how each is made from the contract's features."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from sklearn.feature_extraction import DictVectorizer
from sklearn.pipeline import Pipeline

from sepal.contracts import Contract, Feature
from sepal.errors import ArtefactError, ConfigurationError
from sepal.scoring.adapters import Column, ColumnKind, Source

_NUMBERS = frozenset({"double", "float"})
_WHOLE = frozenset({"long", "integer"})
_FITTING: Mapping[str, frozenset[str]] = {
    "number": _NUMBERS,
    "integer": _NUMBERS | _WHOLE | {"string"},
    "boolean": _NUMBERS | _WHOLE | {"boolean"},
    "category": frozenset({"string"}),
    "time": frozenset({"datetime"}),
}
"""For each kind of feature MLflow's types that can hold it with nothing lost or guessed."""

_KINDS: Mapping[str, ColumnKind] = {
    "double": "number",
    "float": "number",
    "long": "integer",
    "integer": "integer",
    "string": "text",
    "boolean": "boolean",
    "datetime": "time",
}


@dataclass(frozen=True)
class Wanted:
    """A column that a model takes. `type` is MLflow's name for it, None if nobody says."""

    name: str
    type: str | None = None
    required: bool = True


def wanted_columns(signature: Any, pipeline: Any) -> Sequence[Wanted] | int | None:  # noqa: ANN401 (MLflow's)
    """The columns that a model takes by its signature, else by what its pipeline remembers.

    Only their number if they have no names; None if nothing is known of them.
    """
    inputs = getattr(signature, "inputs", None)
    if inputs is not None and inputs.is_tensor_spec():
        shape = tuple(inputs.inputs[0].shape)
        return int(shape[1]) if len(inputs.inputs) == 1 and len(shape) == 2 else None
    if inputs is not None and inputs.has_input_names():
        return [_wanted(spec) for spec in inputs.inputs]
    if known := vocabulary(pipeline):
        return [Wanted(name, "string" if texts else "double") for name, texts in known.items()]
    if (names := getattr(pipeline, "feature_names_in_", None)) is not None:
        return [Wanted(str(name)) for name in names]
    count = getattr(pipeline, "n_features_in_", None)
    return None if count is None else int(count)


def _wanted(spec: Any) -> Wanted:  # noqa: ANN401 (MLflow's ColSpec)
    name = getattr(spec.type, "name", None)  # of an array or object: none
    return Wanted(spec.name, name or str(spec.type), spec.required)


def vocabulary(pipeline: Any) -> Mapping[str, frozenset[str]]:  # noqa: ANN401 (any scikit-learn estimator)
    """For each key that a leading DictVectorizer knows the texts that it knows; none for a number."""
    first = pipeline
    while isinstance(first, Pipeline):
        first = first.steps[0][1]
    if not isinstance(first, DictVectorizer):
        return {}
    known: dict[str, set[str]] = {}
    for feature in first.feature_names_:
        name, separator, text = feature.partition(first.separator)
        known.setdefault(name, set()).update([text] if separator else [])
    return {name: frozenset(texts) for name, texts in known.items()}


def columns_for(
    contract: Contract,
    wanted: Sequence[Wanted] | int,
    given: Mapping[str, str],
    known: Mapping[str, frozenset[str]],
) -> tuple[Column, ...]:
    """Each wanted column, made from the contract's features.

    `given` has templates such as `{PULocationID}_{DOLocationID}` for columns that the
    contract does not name. `known` is the pipeline's `vocabulary`. ArtefactError names
    every column that does not fit.
    """
    if isinstance(wanted, int):
        return _by_position(contract, wanted)
    if strangers := sorted(given.keys() - {column.name for column in wanted}):
        raise ConfigurationError(
            f"--column names {', '.join(strangers)}, which the model does not take. "
            f"It takes {', '.join(column.name for column in wanted)}."
        )
    columns: list[Column] = []
    faults: list[str] = []
    for column in wanted:
        if column.name in given:
            columns.append(_from_template(contract, column, given[column.name]))
        elif (name := contract.column_of.get(column.name)) is not None:
            faults += _type_faults(contract, column, name, known)
            columns.append(_of_feature(contract, column, name))
        elif column.required:
            faults.append(_unknown(contract, column))
    if faults:
        raise ArtefactError(f"The model's signature is not {contract.name}'s: {' '.join(faults)}")
    if not columns:
        raise ArtefactError(f"The model takes none of {contract.name}'s features.")
    return tuple(columns)


def _by_position(contract: Contract, count: int) -> tuple[Column, ...]:
    if count != len(contract.columns):
        raise ArtefactError(
            f"The model takes {count} columns without names, and {contract.name} has "
            f"{len(contract.columns)} features. Log it with a signature that names them."
        )
    return tuple(
        Column(feature.name, "number", (Source(at, "number"),))
        for at, feature in enumerate(contract.columns)
    )


def _unknown(contract: Contract, column: Wanted) -> str:
    names = ", ".join(feature.name for feature in contract.columns)
    return (
        f"it takes {column.name!r}, which is none of the features ({names}). If it is made of them, say "
        f"how, such as --column '{column.name}={{{contract.columns[0].name}}}'."
    )


def _type_faults(
    contract: Contract, column: Wanted, name: str, known: Mapping[str, frozenset[str]]
) -> Iterable[str]:
    feature = _feature(contract, name)[1]
    if column.type is not None and column.type not in _FITTING[feature.kind]:
        yield (
            f"it takes {column.name!r} as {column.type}, and {name} is of the kind {feature.kind}, which "
            f"can be {', '.join(sorted(_FITTING[feature.kind]))}."
        )
    if column.name in known and column.type is not None:
        is_text = column.type == "string"
        if is_text != bool(known[column.name]):
            found = "texts" if known[column.name] else "numbers"
            yield f"it says that {column.name!r} is {column.type}, and its DictVectorizer has seen {found}."


def _of_feature(contract: Contract, column: Wanted, name: str) -> Column:
    position, feature = _feature(contract, name)
    by_kind: Mapping[str, ColumnKind] = {
        "number": "number",
        "integer": "number" if feature.optional else "integer",  # as pandas has it
        "boolean": "boolean",
        "category": "text",
        "time": "time",
    }
    kind = by_kind[feature.kind] if column.type is None else _KINDS.get(column.type, "number")
    if kind == "integer" and feature.optional:
        kind = "number"
    return Column(column.name, kind, (Source.of(position, feature),))


def _from_template(contract: Contract, column: Wanted, template: str) -> Column:
    """The column that `{FEATURE}` or `{FEATURE:format}`, with texts between several, make."""
    parts: list[Source | str] = []
    try:
        for literal, name, form, _ in Formatter().parse(template):
            parts += [literal] if literal else []
            if name is not None:
                parts.append(Source.of(*_feature(contract, contract.column_of[name]), form or ""))
    except (KeyError, ValueError) as error:
        names = ", ".join(feature.name for feature in contract.columns)
        raise ConfigurationError(
            f"--column '{column.name}={template}' can't be read ({error}). Write features in braces: "
            f"{names}."
        ) from error
    sources = [part for part in parts if isinstance(part, Source)]
    if not sources:
        raise ConfigurationError(f"--column '{column.name}={template}' has no feature in braces.")
    if column.type in (None, "string"):
        is_plain = column.type is None and len(parts) == 1 and not sources[0].format
        if not is_plain:
            return Column(column.name, "text", tuple(parts))
    if len(parts) > 1 or sources[0].format:
        raise ConfigurationError(
            f"--column '{column.name}={template}' makes a text, and the model takes {column.type}."
        )
    feature = contract.columns[sources[0].position]
    if faults := list(_type_faults(contract, column, feature.name, {})):
        raise ArtefactError(f"The model's signature is not {contract.name}'s: {' '.join(faults)}")
    return _of_feature(contract, column, feature.name)


def _feature(contract: Contract, name: str) -> tuple[int, Feature]:
    return next((at, feature) for at, feature in enumerate(contract.columns) if feature.name == name)
