"""The family of errors: as its docstring draws it."""

import inspect
import re

from sepal import errors
from sepal.errors import SepalError


def drawn() -> dict[str, str | None]:
    """Each class in the docstring's tree with its parent."""
    parents: dict[str, str | None] = {}
    branch: list[str] = []
    for line in inspect.getdoc(errors).splitlines():  # type: ignore[union-attr]  # it has one
        if found := re.match(r"([│├└─ ]*)(\w+Error)\b", line):
            depth = len(found[1]) // 4
            branch[depth:] = [found[2]]
            parents[found[2]] = branch[depth - 1] if depth else None
    return parents


def defined() -> dict[str, str | None]:
    """Each class of the module with its parent."""
    return {
        name: None if value is SepalError else value.__base__.__name__
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, SepalError)
    }


def test_the_tree_in_the_docstring_is_that_of_the_classes() -> None:
    assert drawn() == defined()


def test_every_error_says_what_it_is_and_has_an_http_status() -> None:
    for name in defined():
        error = getattr(errors, name)
        assert error.__doc__
        assert error.title
        assert 400 <= error.status <= 599


def test_an_exit_code_is_never_that_of_success_or_of_wrong_usage() -> None:
    assert not {getattr(errors, name).exit_code for name in defined()} & {0, 2}
