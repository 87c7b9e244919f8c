"""Where jobs may read and write: below the folders and URL prefixes of a setting, and nowhere else."""

import os
import re
from collections.abc import Sequence

from sepal.errors import LocationError

_WILDCARDS = re.compile(r"[*?\[]")
_REFUSED = (
    "{what} is not allowed there. The service reads and writes only below the folders and URLs that "
    "its setting SEPAL_JOBS_LOCATIONS names, by their plain addresses."
)
_TRICKS = re.compile(r"[\x00-\x1f\x7f\\]|(^|/)\.\.?(/|$)")
_URL_TRICKS = re.compile(r"[?#%@]|(?<!:)//|^[^:]*:///")
"""Queries redirect to other servers, and escapes, users and empty parts hide what an address says."""


def check_location(what: str, address: str, allowed: Sequence[str], *, pattern: bool = False) -> None:
    """LocationError if an address is not below one of those allowed; `pattern` lets it have * and ?.

    What is refused does not depend on which files there are, but for symbolic links below
    an allowed folder, which must not lead out of all of them.
    """
    is_url = "://" in address
    inside = not _TRICKS.search(address) and any(
        _is_below(address, prefix) or (pattern and address.rstrip("/") == prefix.rstrip("/"))
        for prefix in allowed
        if ("://" in prefix) == is_url
    )
    if inside and is_url:
        inside = not _URL_TRICKS.search(address)
    elif inside:
        inside = is_inside(_fixed(address), allowed)
    if not inside or (not pattern and _WILDCARDS.search(address)):
        raise LocationError(_REFUSED.format(what=what))


def is_inside(path: str, allowed: Sequence[str]) -> bool:
    """Whether a path is one of the allowed folders or below one, links on the way followed."""
    real = os.path.realpath(path)
    folders = (os.path.realpath(folder) for folder in allowed if "://" not in folder)
    return any(real == folder or _is_below(real, folder) for folder in folders)


def _is_below(address: str, prefix: str) -> bool:
    return address.startswith(f"{prefix.rstrip('/')}/")


def _fixed(pattern: str) -> str:
    """The part of a pattern before its wildcards."""
    if found := _WILDCARDS.search(pattern):
        return pattern[: found.start()].rpartition("/")[0]
    return pattern
