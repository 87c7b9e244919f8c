"""Whether one JSON schema takes all that another takes; the rules for schemas of OpenAPI 3.1."""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_BOUNDS = (  # what bounds from below comes first
    ("minLength", 1),
    ("minItems", 1),
    ("minProperties", 1),
    ("maxLength", -1),
    ("maxItems", -1),
    ("maxProperties", -1),
)
_FORMS = ("pattern", "format", "multipleOf", "contentEncoding", "contentMediaType")
_OPEN: Schema = {}


class Comparison:
    """Holds schemas of two documents against each other.

    `closed` tells that a property which the wide side does not name is one that it does
    not take: so it is for what clients send, and not for what they read.
    """

    def __init__(self, wide: Schema, narrow: Schema, *, closed: bool) -> None:
        self._wide, self._narrow, self._closed = wide, narrow, closed
        self._under_way: set[tuple[int, int]] = set()

    def lacking(self, wide: Schema, narrow: Schema, where: str) -> Iterator[str]:
        """What `narrow` takes and `wide` does not, each with its place."""
        pair = id(wide), id(narrow)
        if pair in self._under_way:  # a schema that holds itself
            return
        self._under_way.add(pair)
        wides, narrows = _alternatives(wide, self._wide), _alternatives(narrow, self._narrow)
        for one in narrows:
            alike = [other for other in wides if _fits(one.get("type"), other.get("type"))] or wides
            tried = [list(self._plain(other, one, where)) for other in alike]
            if all(tried):
                yield from min(tried, key=len)
        self._under_way.remove(pair)

    def _plain(self, wide: Schema, narrow: Schema, where: str) -> Iterator[str]:
        """The same of two schemas without alternatives."""
        if not _fits(narrow.get("type"), wide.get("type")):
            yield f"{where}: type {narrow.get('type', 'any')} where {wide['type']} is expected"
            return
        yield from _values(wide, narrow, where)
        yield from _bounds(wide, narrow, where)
        if "items" in wide:
            yield from self.lacking(wide["items"], narrow.get("items", _OPEN), f"{where}[]")
        if wide.get("type") == "object" or "properties" in wide:
            yield from self._objects(wide, narrow, where)

    def _objects(self, wide: Schema, narrow: Schema, where: str) -> Iterator[str]:
        named, others = wide.get("properties", {}), narrow.get("properties", {})
        for name in sorted(set(wide.get("required", ())) - set(narrow.get("required", ()))):
            yield f"{where}/{name}: required on one side alone"
        for name, schema in others.items():
            if name in named:
                yield from self.lacking(named[name], schema, f"{where}/{name}")
            elif self._closed:
                yield f"{where}/{name}: removed"
        if not self._closed:
            for name in sorted(set(named) - set(others) - set(wide.get("required", ()))):
                yield f"{where}/{name}: removed"
        if self._closed and wide.get("additionalProperties") is False:
            if narrow.get("additionalProperties", True) is not False:
                yield f"{where}: other properties are refused"
        elif isinstance(more := wide.get("additionalProperties"), Mapping):
            given = narrow.get("additionalProperties", _OPEN)
            if given is not False:
                yield from self.lacking(more, given if isinstance(given, Mapping) else _OPEN, f"{where}/*")
        if "propertyNames" in wide:
            names = {"type": "string", **narrow.get("propertyNames", _OPEN)}
            yield from self.lacking({"type": "string", **wide["propertyNames"]}, names, f"{where}/*")


def resolve(thing: Schema, document: Schema) -> Schema:
    """What a reference within the document leads to."""
    while "$ref" in thing:
        target: Any = document
        for step in thing["$ref"].removeprefix("#/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")]
        thing = target
    return thing


def _alternatives(schema: Schema, document: Schema) -> list[Schema]:
    """A schema as schemas without references, `anyOf`, `oneOf` and lists of types."""
    schema = resolve(schema, document)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            rest = {key: value for key, value in schema.items() if key != word}
            return [{**rest, **plain} for each in schema[word] for plain in _alternatives(each, document)]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": kind} for kind in schema["type"]]
    return [schema]


def _fits(kind: str | None, into: str | None) -> bool:
    return into is None or kind == into or (kind, into) == ("integer", "number")


def _values(wide: Schema, narrow: Schema, where: str) -> Iterator[str]:
    """Enumerated values and forms of text."""
    if (allowed := _enumerated(wide)) is not None:
        if (given := _enumerated(narrow)) is None:
            yield f"{where}: any value where {allowed} are expected"
        elif extra := [value for value in given if value not in allowed]:
            yield f"{where}: {extra} not among {allowed}"
    for form in _FORMS:
        if form in wide and narrow.get(form) != wide[form]:
            yield f"{where}: {form} {narrow.get(form, 'any')} where {wide[form]} is expected"


def _enumerated(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _bounds(wide: Schema, narrow: Schema, where: str) -> Iterator[str]:
    for name, sign in _BOUNDS:
        if name in wide and (name not in narrow or sign * narrow[name] < sign * wide[name]):
            yield f"{where}: {name} {narrow.get(name, 'none')} where {wide[name]} is expected"
    for plain, exclusive, sign in (
        ("minimum", "exclusiveMinimum", 1),
        ("maximum", "exclusiveMaximum", -1),
    ):
        tight, loose = _bound(wide, plain, exclusive, sign), _bound(narrow, plain, exclusive, sign)
        if tight is not None and (loose is None or loose < tight):
            yield f"{where}: {plain} {_told(loose, sign)} where {_told(tight, sign)} is expected"


def _bound(schema: Schema, plain: str, exclusive: str, sign: int) -> tuple[float, bool] | None:
    """A bound that is the larger the tighter it is: the number, and whether it is itself left out."""
    found = [(sign * schema[name], name == exclusive) for name in (plain, exclusive) if name in schema]
    return max(found) if found else None


def _told(bound: tuple[float, bool] | None, sign: int) -> str:
    return "none" if bound is None else f"{sign * bound[0]:g}{' (itself left out)' if bound[1] else ''}"
