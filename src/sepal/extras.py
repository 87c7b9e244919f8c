"""Optional packages: imported when they are needed, and told by the extra that brings them."""

import importlib
from types import ModuleType

from sepal.errors import ConfigurationError


def need(module: str, extra: str) -> ModuleType:
    """Import a module of an extra; ConfigurationError says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"This needs {module.partition('.')[0]}, which can't be imported ({error}). "
            f"Install it: pip install 'sepal[{extra}]'"
        ) from error
