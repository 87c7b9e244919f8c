"""The tables of settings as docs/operations.md must have them."""

from collections.abc import Iterator

from pydantic.fields import FieldInfo

from sepal.settings import Settings
from sepal.settings.kinds import Group

GROUPS = [group for group in Settings.__bases__ if issubclass(group, Group)]


def lines() -> Iterator[str]:
    """A heading and a table for each group, in their order."""
    for group in GROUPS:
        yield f"### {group.__doc__.rstrip('.')}"
        yield "| variable | default | meaning |"
        yield "|---|---|---|"
        for name, field in group.model_fields.items():
            yield f"| `SEPAL_{name.upper()}` | {default(field)} | {field.description} |"


def default(field: FieldInfo) -> str:
    """A default as the table shows it; empty, where the description says what happens then."""
    if field.default_factory is not None or field.default in ("", (), None):
        return ""
    if isinstance(field.default, tuple):
        return f"`{','.join(field.default)}`"
    return f"`{field.default:.15g}`" if isinstance(field.default, int | float) else f"`{field.default}`"


if __name__ == "__main__":
    for line in lines():
        print(f"\n{line}\n" if line.startswith("#") else line)  # noqa: T201 (to be pasted there)
