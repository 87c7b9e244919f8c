import os
import subprocess
import sys

import pytest

from sepal.user import user_name


def test_whoever_has_no_name_is_told_by_number() -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become a user that the system does not know")
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("LOGNAME", "USER", "LNAME", "USERNAME")
    }
    script = "import os; from sepal.user import user_name; os.setuid(54321); print(user_name())"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout == "54321\n", done.stderr


def test_everybody_else_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    assert user_name() == "ada"
