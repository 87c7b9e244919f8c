"""What must not be left open: settings with which a gateway does not start."""

from pathlib import Path
from typing import Any

import pytest

from sepal.access.callers import Scope
from sepal.access.keys import KeyFile
from sepal.access.safety import check, remarks
from sepal.errors import ConfigurationError
from sepal.settings import Settings

ISSUER = {
    "token_issuer": "https://i.example",
    "token_audience": ("a",),
    "token_jwks": "https://i.example/j",
}


def test_local_needs_nothing(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    check(settings)
    assert (settings.access_is_on, settings.limits_are_on) == (False, False)


@pytest.mark.parametrize("env", ["staging", "production"])
def test_elsewhere_access_and_limits_are_on_and_somebody_must_be_able_to_come_in(
    tmp_path: Path, env: str
) -> None:
    settings = Settings(data_dir=tmp_path, env=env)
    assert (settings.access_is_on, settings.limits_are_on) == (True, True)
    with pytest.raises(ConfigurationError, match=r"Make one: sepal keys create NAME .*SEPAL_TOKEN_ISSUER"):
        check(settings)
    check(Settings(data_dir=tmp_path, env=env, **ISSUER))
    KeyFile(tmp_path / "keys.json").create("shop", (Scope.predict,))
    check(settings)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"env": "production", "access": "off"}, "SEPAL_ACCESS=off is for SEPAL_ENV=local alone"),
        ({"env": "production", **ISSUER, "token_jwks": "http://i.example/j"}, "use https"),
        ({"env": "production", **ISSUER, "cors_origins": ("*",)}, "name the origins"),
        ({"token_issuer": "https://i.example"}, "set all or none"),
        ({**ISSUER, "token_audience": ()}, "set all or none"),
        ({**ISSUER, "token_jwks": "ftp://i.example/j"}, "neither a file nor an https URL"),
        ({**ISSUER, "token_jwks": "https://"}, "SEPAL_TOKEN_JWKS=https:// names no host"),
        ({**ISSUER, "token_jwks": "/nowhere/jwks.json"}, "can't be read: .*No such file"),
        ({**ISSUER, "token_jwks": __file__}, "can't be read: .*It must be a JWKS file"),
        ({"access": "on"}, "there is no .*keys.json"),
    ],
)
def test_an_unsafe_setting_is_refused_with_the_way_out(
    tmp_path: Path, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        check(Settings(data_dir=tmp_path, **given))


def test_what_is_open_in_local_is_remarked_on(tmp_path: Path) -> None:
    assert not [*remarks(Settings(data_dir=tmp_path))]
    (remark,) = remarks(Settings(data_dir=tmp_path, gateway_host="0.0.0.0"))  # noqa: S104 (what is tested)
    assert "Everybody who reaches 0.0.0.0:8000 may call" in remark
    (remark,) = remarks(Settings(data_dir=tmp_path, access="on", gateway_workers=3))
    assert "Each of 3 gateway processes counts its own" in remark


def test_a_file_of_keys_that_can_t_be_read_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(ConfigurationError, match="is no file of keys: the whole: Invalid JSON"):
        check(Settings(data_dir=tmp_path, access="on"))
    (tmp_path / "keys.json").unlink()
    (tmp_path / "keys.json").mkdir()
    with pytest.raises(ConfigurationError, match=r"The API keys can't be read: .*Is a directory"):
        check(Settings(data_dir=tmp_path, access="on"))


def test_a_file_of_keys_that_anybody_can_write_is_told_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    KeyFile(path).create("shop", (Scope.predict,))
    path.chmod(0o646)
    with pytest.raises(ConfigurationError, match=r"Anybody can write .*keys.json: chmod o-w it"):
        check(Settings(data_dir=tmp_path, access="on"))
