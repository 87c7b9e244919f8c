"""Who runs this process."""

import getpass
import os


def user_name() -> str:
    """The user's name; in a container whose user the system does not know, its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
