"""`sepal keys`: make, list, revoke."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sepal.access.key_ring import KeyRing
from sepal.cli.keys import app


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEPAL_DATA_DIR", str(tmp_path))
    return tmp_path


def keys(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.output
    return result.output


def test_a_key_is_made_listed_without_its_secret_and_revoked(data_dir: Path) -> None:
    assert "sepal keys create" in keys("list")
    made = keys(
        "create", "[b]shop", "--scope", "predict", "--scope", "bulk", "--rate", "10/s", "--expires", "2d"
    )
    found = re.search(r"^(sepal_([0-9a-f]{12})_([0-9a-f]{64}))$", made, re.MULTILINE)
    assert found
    text, number, secret = found.groups()
    assert KeyRing(data_dir / "keys.json", None).verify(text.encode()).scopes == {"predict", "bulk"}
    listed = keys("list")
    assert secret not in listed
    for part in (number, "[b]shop", "good", "predict, bulk", "10/s"):
        assert part in listed
    assert f"Key {number} of [b]shop is revoked since" in keys("revoke", number)
    assert "revoked" in keys("list")


def test_only_the_key_goes_to_standard_output() -> None:
    result = CliRunner().invoke(
        app, ["create", "shop", "--scope", "predict", "--rate", "10/s", "--burst", "50"]
    )
    assert re.fullmatch(r"sepal_\w+\n", result.stdout)
    assert "50 requests in 5 seconds" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "shop"),
        ("create", "shop", "--scope", "everything"),
        ("create", "", "--scope", "predict"),
        ("create", "x" * 101, "--scope", "predict"),
        ("create", "shop", "--scope", "predict", "--burst", "5"),
        ("create", "shop", "--scope", "predict", "--expires", "soon"),
        ("create", "shop", "--scope", "predict", "--expires", "999999999d"),
    ],
)
def test_wrong_arguments_make_no_key(data_dir: Path, arguments: tuple[str, ...]) -> None:
    keys(*arguments, code=2)
    assert not (data_dir / "keys.json").exists()
