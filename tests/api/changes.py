"""What of a change of the API breaks clients that were written before it.

The rules are those of docs/api-stability.md, and much as oasdiff has them
(https://github.com/oasdiff/oasdiff, docs/BREAKING-CHANGES.md): a client may go on
sending all that it sent, and never has to read what it was not told of.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.api.schemas import Comparison, resolve

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

Part = Mapping[str, Any]


def breaking_changes(before: Part, now: Part) -> list[str]:
    """One line for each change that breaks, from one OpenAPI document to the next."""
    found: list[str] = []
    for path, old in before["paths"].items():
        new = now["paths"].get(path)
        if new is None:
            found.append(f"{path}: removed")
            continue
        for method in (method for method in _METHODS if method in old):
            name = f"{method.upper()} {path}"
            if method not in new:
                found.append(f"{name}: removed")
            else:
                found += [
                    f"{name}: {change}"
                    for change in _Operation(before, now).changes(old[method], new[method])
                ]
    return found


class _Operation:
    """The rules for one operation of both documents."""

    def __init__(self, before: Part, now: Part) -> None:
        self._before, self._now = before, now
        self._sent = Comparison(now, before, closed=True)
        self._read = Comparison(before, now, closed=False)

    def changes(self, old: Part, new: Part) -> Iterator[str]:
        if old.get("operationId") != new.get("operationId"):
            yield f"operationId {old.get('operationId')} became {new.get('operationId')}"
        yield from self._security(old, new)
        yield from self._parameters(old, new)
        yield from self._body(old, new)
        yield from self._responses(old.get("responses", {}), new.get("responses", {}))

    def _security(self, old: Part, new: Part) -> Iterator[str]:
        """Each way in must be one still."""
        ways = new.get("security") or self._now.get("security") or [{}]
        for way in old.get("security") or self._before.get("security") or [{}]:
            if not any(set(other) <= set(way) for other in ways):
                yield f"credentials: {sorted(way) or 'none'} is no longer enough"

    def _parameters(self, old: Part, new: Part) -> Iterator[str]:
        olds, news = _by_name(old, self._before), _by_name(new, self._now)
        for key, parameter in olds.items():
            where = f"{key[0]} parameter {key[1]}"
            if key not in news:
                yield f"{where}: removed"
                continue
            if news[key].get("required") and not parameter.get("required"):
                yield f"{where}: became required"
            yield from self._sent.lacking(news[key].get("schema", {}), parameter.get("schema", {}), where)
        for key, parameter in news.items():
            if key not in olds and parameter.get("required"):
                yield f"{key[0]} parameter {key[1]}: new, and required"

    def _body(self, old: Part, new: Part) -> Iterator[str]:
        before = resolve(old.get("requestBody", {}), self._before)
        now = resolve(new.get("requestBody", {}), self._now)
        if now.get("required") and not before.get("required"):
            yield "body: became required"
        for media_type, content in before.get("content", {}).items():
            if media_type not in now.get("content", {}):
                yield f"body: {media_type} is no longer taken"
            else:
                wide = now["content"][media_type].get("schema", {})
                yield from self._sent.lacking(wide, content.get("schema", {}), "body")

    def _responses(self, old: Part, new: Part) -> Iterator[str]:
        for status in old:
            if status not in new:
                yield f"response {status}: removed"
                continue
            before, now = resolve(old[status], self._before), resolve(new[status], self._now)
            for name in sorted(set(before.get("headers", {})) - set(now.get("headers", {}))):
                yield f"response {status}: header {name} removed"
            for media_type, content in before.get("content", {}).items():
                if media_type not in now.get("content", {}):
                    yield f"response {status}: {media_type} is no longer given"
                    continue
                given = now["content"][media_type].get("schema", {})
                yield from self._read.lacking(content.get("schema", {}), given, f"response {status}")


def _by_name(operation: Part, document: Part) -> dict[tuple[str, str], Part]:
    """Parameters by place and name; the case of a header's name means nothing."""
    parameters = [resolve(each, document) for each in operation.get("parameters", ())]
    return {
        (each["in"], each["name"].lower() if each["in"] == "header" else each["name"]): each
        for each in parameters
    }


def may_break(released: str, version: str) -> bool:
    """Whether a release of this version may break what was released: its first number is higher.

    Before 1.0 the second number stands in for the first.
    """
    return _epoch(version) > _epoch(released)


def _epoch(version: str) -> tuple[int, int]:
    major, minor = (int(number) for number in version.split(".")[:2])
    return (major, minor if major == 0 else 0)
