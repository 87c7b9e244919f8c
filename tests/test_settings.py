"""Settings: from the environment, refused when wrong, and every one of them in docs/operations.md."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from sepal.errors import ConfigurationError
from sepal.settings import Settings, load_settings, misspelt
from sepal.supervisor import Tier
from tests.environment import clean
from tests.ports import free_port
from tests.settings_table import GROUPS, lines

OPERATIONS = Path(__file__).parents[1] / "docs" / "operations.md"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SEPAL_")]:
        monkeypatch.delenv(name)


def test_the_documentation_has_every_setting_with_its_default_and_meaning_and_no_other() -> None:
    said = OPERATIONS.read_text(encoding="utf-8")
    section = said.partition("## Settings\n")[2].partition("### What goes together\n")[0]
    documented = [line for line in section.splitlines() if line.startswith(("#", "|"))]
    assert documented == list(lines()), "put what `python -m tests.settings_table` prints there"


def test_every_setting_is_in_one_group() -> None:
    in_groups = [name for group in GROUPS for name in group.model_fields]
    assert sorted(in_groups) == sorted(Settings.model_fields)


def test_every_setting_can_be_set_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPAL_GATEWAY_PORT", "18000")
    monkeypatch.setenv("SEPAL_REQUEST_TIMEOUT", "0.5")
    assert load_settings().gateway_port == 18000
    assert load_settings().request_timeout == 0.5


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SEPAL_GATEWAY_PORT", "0"),
        ("SEPAL_MODEL_SERVER_PORT", "many"),
        ("SEPAL_REQUEST_TIMEOUT", "0"),
        ("SEPAL_MAX_BATCH_ROWS", "1"),
        ("SEPAL_MODEL_SERVER_URL", "model-server"),
        ("SEPAL_LIMITS_URL", "redis://localhost/0"),
        ("SEPAL_LIMITS_URL", "redis://localhost:many/0"),
        ("SEPAL_LIMITS_URL", "redis://:6379"),
        ("SEPAL_TRACES_ENDPOINT", "http://"),
    ],
)
def test_a_wrong_value_is_told_with_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"{variable}='{value}': .*docs/operations.md"):
        load_settings()


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "https://a.example/b", "null"])
def test_an_origin_that_no_browser_sends_is_refused(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("SEPAL_CORS_ORIGINS", f"https://good.example:8443,{origin}")
    with pytest.raises(ConfigurationError, match=f"SEPAL_CORS_ORIGINS.*{origin} is no origin: write it as"):
        load_settings()


def test_a_wrong_url_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPAL_LIMITS_URL", "redis://me:geheim@localhost/0")
    with pytest.raises(ConfigurationError, match="SEPAL_LIMITS_URL='redis://…@localhost/0': ") as told:
        load_settings()
    assert "geheim" not in str(told.value)


def test_every_wrong_value_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPAL_RETRY_AFTER", "0")
    monkeypatch.setenv("SEPAL_MAX_ROWS", "0")
    with pytest.raises(ConfigurationError, match=r"SEPAL_MAX_ROWS='0'.*SEPAL_RETRY_AFTER='0'"):
        load_settings()


@pytest.mark.parametrize("variable", [f"SEPAL_{name.upper()}" for name in Settings.model_fields])
def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "")
    assert load_settings() == Settings()


def test_folders_are_separated_like_path_and_models_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPAL_CONTRACTS_PATH", f"here{os.pathsep}/there")
    monkeypatch.setenv("SEPAL_RECIPES_PATH", f"one{os.pathsep}")
    monkeypatch.setenv("SEPAL_MODELS", "iris, ride_duration")
    settings = load_settings()
    assert settings.contracts_path == (Path("here"), Path("/there"))
    assert settings.recipes_path == (Path("one"),)
    assert settings.models == ("iris", "ride_duration")


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().max_rows = 1  # type: ignore[misc]  # what is tested


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="gateway_prot"):
        Settings(gateway_prot=1)  # type: ignore[call-arg]  # what is tested


def test_a_checkout_keeps_its_data_in_its_own_folder() -> None:
    assert Settings().data_dir == Path(__file__).parents[1] / "data"


def test_database_and_artefacts_are_in_the_data_folder_unless_told_otherwise(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.database == f"sqlite:///{tmp_path / 'database.sqlite'}"
    assert settings.bentoml_home == tmp_path / "bentoml"
    assert settings.bentoml_environment["BENTOML_HOME"] == str(tmp_path / "bentoml")
    assert Settings(database_url="sqlite:///x.sqlite").database == "sqlite:///x.sqlite"


def test_the_model_server_is_found_by_its_url_or_by_host_and_port() -> None:
    assert Settings(model_server_host="scorer", model_server_port=13000).upstream == "http://scorer:13000"
    url = Settings.model_validate({"model_server_url": "https://scorer.example/behind/"})
    assert url.upstream == "https://scorer.example/behind"


def test_an_ipv6_address_stands_in_brackets_wherever_a_url_is_made_of_it(tmp_path: Path) -> None:
    settings = Settings(gateway_host="::1", model_server_host="fd00::2")
    assert settings.service_url == "http://[::1]:8000"
    assert settings.upstream == "http://[fd00::2]:3000"
    with_tls = Settings(
        **{f"{tier}_host": "::1" for tier in ("gateway", "model_server")},
        **{f"{tier}_tls_certificate": tmp_path for tier in ("gateway", "model_server")},
    )
    assert with_tls.service_url == "https://[::1]:8000"
    assert with_tls.upstream == "https://[::1]:3000"
    assert Tier("gateway", "sepal.gateway", "::1", 8000, "https").url == "https://[::1]:8000"
    assert Tier("gateway", "sepal.gateway", "127.0.0.1", 8000).url == "http://127.0.0.1:8000"


def test_a_variable_that_is_no_setting_is_told_with_the_one_that_may_be_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in (
        *("SEPAL_GATEWAY_PROT", "SEPAL_XYZ", "SEPAL_GATEWAY_PORT", "sepal_max_rows", "SEPAL_TEST_RIDES"),
        *("_SEPAL_SERVES", "SEPAL_NIGHTLY_KEEP", "SEPAL_GATEWAY_SERVICE_HOST", "SEPAL_GATEWAY_PORT_80_TCP"),
    ):
        monkeypatch.setenv(variable, "1")
    assert list(misspelt()) == [
        "SEPAL_GATEWAY_PROT is no setting and changes nothing: is SEPAL_GATEWAY_PORT meant?",
        "SEPAL_XYZ is no setting and changes nothing. docs/operations.md lists the settings.",
    ]


@pytest.mark.parametrize("tier", ["gateway", "model_server", "jobs"])
def test_each_tier_logs_at_its_start_what_is_no_setting(tmp_path: Path, tier: str) -> None:
    ports = {f"{name}_port": free_port() for name in ("gateway", "model_server")}
    environment = clean(data_dir=tmp_path, max_row=1, **ports)
    command = [sys.executable, "-m", f"sepal.{tier}"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = next(line for line in process.stdout if "SEPAL_MAX_ROW " in line)
        process.kill()  # BentoML may not hear a SIGTERM while it starts its worker
        process.stdout.read()
    assert json.loads(said)["level"] == "warning"
    assert "is SEPAL_MAX_ROWS meant?" in said
