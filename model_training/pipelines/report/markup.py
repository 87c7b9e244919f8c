"""HTML that is safe by default: text is escaped when it becomes markup, and only markup is not."""

from collections.abc import Iterable
from html import escape
from typing import TypeAlias


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content: TypeAlias = str | Iterable["Content"] | None
"""What may stand inside an element: text, markup, several of these, or nothing."""


def tag(name: str, *content: Content, **attributes: str | float | None) -> Markup:
    """An element such as `tag("p", "a < b", class_="note")`; an attribute that is None is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{join(*content)}</{name}>")


def join(*content: Content) -> Markup:
    """Pieces of content, one after the other."""
    return Markup("".join(_escaped(piece) for piece in content))


def _escaped(content: Content) -> str:
    if content is None:
        return ""
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return escape(content)
    return "".join(map(_escaped, content))
