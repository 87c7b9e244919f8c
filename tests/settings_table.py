"""The table of settings as docs/operations.md must have it."""

from collections.abc import Iterator

from pydantic.fields import FieldInfo

from sepal.settings import Settings


def rows() -> Iterator[str]:
    """A line of the table for each setting, in the order of the class."""
    for name, field in Settings.model_fields.items():
        yield f"| `SEPAL_{name.upper()}` | {default(field)} | {field.description} |"


def default(field: FieldInfo) -> str:
    """A default as the table shows it; empty, where the description says what happens then."""
    if field.default_factory is not None or field.default in ("", (), None):
        return ""
    if isinstance(field.default, tuple):
        return f"`{','.join(field.default)}`"
    return f"`{field.default:.15g}`" if isinstance(field.default, int | float) else f"`{field.default}`"


if __name__ == "__main__":
    print(*rows(), sep="\n")  # noqa: T201 (to be pasted into the table)
