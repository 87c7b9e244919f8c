"""JSON without what Python forgives: other encodings than UTF-8, a name twice, half a character."""

import json
import re
from typing import Any

from fastapi import HTTPException

from sepal.contracts import Contract

_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_COLONS = 4
"""Colons of a feature, at the most: one after its name, and three in a time and its zone."""
_SLACK = 100
"""How many more there may be, so that a few unknown names are still told one by one."""


_SMALL = 4096
"""Bytes in which there can't be so many that it matters."""


def strict_json(body: bytes) -> Any:  # noqa: ANN401 (any JSON value)
    """What the bytes say; HTTPException 400, or JSONDecodeError, if that is not certain."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"The body is not UTF-8, from byte {error.start} on.") from error
    value = json.loads(text, object_pairs_hook=_once)
    if _HALF.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise HTTPException(400, "The body has half of a pair of surrogates in a string.") from error
    return value


def is_strict(body: bytes) -> bool:
    """Whether JSON that a validator took says each name once."""
    try:
        strict_json(body)
    except HTTPException:
        return False
    return True


def has_too_many_names(body: bytes, contract: Contract, max_rows: int) -> bool:
    """Whether a body has many more names than its rows can have.

    Each unknown name is an error to be told of: a million of them would take gigabytes.
    """
    if len(body) <= _SMALL:
        return False
    names = _COLONS * len(contract.columns)
    count = body.count(b":")
    return count > _SLACK + names and count > _SLACK + names * min(body.count(b"{"), max_rows)


def too_many_names(contract: Contract) -> HTTPException:
    """What to say of it."""
    return HTTPException(
        413, f"The body has too many names: a row of {contract.name} has at most {len(contract.columns)}."
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise HTTPException(400, f"The body has a name twice in one object: {json.dumps(twice[:100])}.")
    return found
