"""What can be set, from environment variables `SEPAL_…`."""

from sepal.settings.environment import load_settings, misspelt
from sepal.settings.settings import Settings

__all__ = ["Settings", "load_settings", "misspelt"]
