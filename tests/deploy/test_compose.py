"""compose.yaml: both tiers, healthy in order, their logs bounded, as many gateways as wanted."""

from typing import Any

import pytest
import yaml

from tests.deploy.conftest import ROOT, program, run


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return loaded


def test_docker_compose_takes_it_with_every_profile_and_with_the_bentos_image() -> None:
    docker = program("docker")
    if run(docker, "compose", "version").returncode != 0:
        pytest.skip("docker compose is not installed")
    for files in (["compose.yaml"], ["compose.yaml", "deploy/compose/bento.yaml"]):
        options = [word for file in files for word in ("--file", file)]
        ended = run(docker, "compose", *options, "--profile", "*", "config", "--quiet")
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr == ""


def test_every_service_rotates_its_log_at_ten_megabytes_three_times(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name


def test_every_service_that_stays_is_looked_at_every_thirty_seconds(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name in ("train", "worker"):
            continue
        check = service["healthcheck"]
        timing = [check[each] for each in ("interval", "timeout", "retries", "start_period")]
        assert timing == ["30s", "10s", 3, "10s"], name


def test_nothing_stands_in_the_way_of_more_gateways(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert "container_name" not in service
    assert "ports" not in compose["services"]["gateway"]
    assert compose["services"]["proxy"]["ports"] == ["${SEPAL_ADDRESS:-127.0.0.1}:${SEPAL_PORT:-8000}:8080"]
    assert "server gateway:8000 resolve;" in (ROOT / "deploy/compose/nginx.conf").read_text()


def test_it_starts_in_order_once_each_part_is_healthy(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["model-server"]["depends_on"] == {
        "train": {"condition": "service_completed_successfully"}
    }
    assert services["gateway"]["depends_on"] == {"model-server": {"condition": "service_healthy"}}
    assert services["proxy"]["depends_on"] == {"gateway": {"condition": "service_healthy"}}
    assert services["train"]["restart"] == "no"
    assert "--if-missing" in services["train"]["command"]


def test_the_model_server_is_on_the_inner_network_alone(compose: dict[str, Any]) -> None:
    assert compose["networks"]["inside"] == {"internal": True}
    assert compose["services"]["model-server"]["networks"] == ["inside"]
    assert "ports" not in compose["services"]["model-server"]


def test_what_else_there_is_must_be_asked_for(compose: dict[str, Any]) -> None:
    asked_for = {name: each["profiles"] for name, each in compose["services"].items() if "profiles" in each}
    assert asked_for == {
        "worker": ["jobs"],
        "redis": ["redis"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
        "mlflow": ["mlflow"],
    }


def test_every_service_runs_on_a_read_only_root_without_privileges(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_every_file_that_is_mounted_is_there(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("./") and source not in ("./deploy/prometheus", "./deploy/grafana"):
                assert (ROOT / source).exists(), source


def test_elastic_beanstalk_runs_the_same_images_behind_the_same_checks() -> None:
    folder = ROOT / "deploy" / "elastic-beanstalk"
    services = yaml.safe_load((folder / "docker-compose.yml").read_text())["services"]
    assert set(services) == {"gateway", "model-server"}
    assert services["gateway"]["ports"] == ["80:8000"]
    for service in services.values():
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
        assert service["read_only"] is True
    options = yaml.safe_load((folder / ".ebextensions" / "sepal.config").read_text())["option_settings"]
    assert options["aws:autoscaling:asg"]["MaxSize"] > options["aws:autoscaling:asg"]["MinSize"]
    assert options["aws:elasticbeanstalk:environment:process:default"]["HealthCheckPath"] == "/readyz"
    assert all(isinstance(value, str) for namespace in options.values() for value in namespace.values())
