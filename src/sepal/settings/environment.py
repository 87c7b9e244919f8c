"""Reads the settings from the environment, and says what is wrong there."""

import os
import re
from collections.abc import Iterator
from difflib import get_close_matches

from pydantic import ValidationError

from sepal.errors import ConfigurationError
from sepal.settings.settings import Settings


def load_settings(**given: object) -> Settings:
    """The settings from the environment, but for those that are given and not None.

    ConfigurationError naming the variable and what is wrong.
    """
    try:
        return Settings.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(
            f"SEPAL_{'_'.join(map(str, e['loc'])).upper()}={_shown(e['input'])}: {e['msg']}"
            for e in error.errors()
        )
        raise ConfigurationError(f"{wrong}. docs/operations.md lists the settings.") from error


_NO_SETTINGS = re.compile(
    r"(test|nightly|benchmark)_.*|address|port|version|registry|model_server_image"
    r"|.*_service_(host|port).*|.*_port_\d+_.*"
)
"""What tests and the files in deploy/ go by, and what Kubernetes sets for services named sepal-…."""


def misspelt() -> Iterator[str]:
    """For each variable `SEPAL_…` in the environment that is no setting, what to say of it."""
    for variable in sorted(os.environ):
        prefix, _, name = variable.lower().partition("_")
        if prefix == "sepal" and name not in Settings.model_fields and not _NO_SETTINGS.fullmatch(name):
            meant = get_close_matches(name, Settings.model_fields, 1)
            hint = (
                f": is SEPAL_{meant[0].upper()} meant?"
                if meant
                else ". docs/operations.md lists the settings."
            )
            yield f"{variable} is no setting and changes nothing{hint}"


def _shown(value: object) -> str:
    """A wrong value, without the name and password that a URL may have."""
    return re.sub(r"//[^/@]*@", "//…@", repr(value))
