"""The Kubernetes manifests: valid for the newest releases, and they hold what the pages promise."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.conftest import ROOT, program, run


def _numbers(release: str) -> list[int]:
    return [int(number) for number in release.split(".")]


BASE = ROOT / "deploy" / "kubernetes" / "base"
OVERLAYS = sorted(path.name for path in (ROOT / "deploy" / "kubernetes" / "overlays").iterdir())
RELEASES = sorted(set(kubernetes_validate.utils.all_versions()), key=_numbers)[-3:]

Manifest = dict[str, Any]


def base() -> list[Manifest]:
    files = [path for path in sorted(BASE.glob("*.yaml")) if path.name != "kustomization.yaml"]
    return [manifest for path in files for manifest in yaml.safe_load_all(path.read_text())]


def rendered(overlay: str) -> list[Manifest]:
    ended = run(program("kubectl"), "kustomize", f"deploy/kubernetes/overlays/{overlay}")
    assert ended.returncode == 0, ended.stderr
    return list(yaml.safe_load_all(ended.stdout))


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The pod specification of each workload."""
    found = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in of_kind(manifests, "Deployment")
    }
    for each in of_kind(manifests, "CronJob"):
        found[each["metadata"]["name"]] = each["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


def test_the_three_newest_releases_are_known() -> None:
    assert len(RELEASES) == 3


@pytest.mark.parametrize("release", RELEASES)
def test_every_manifest_is_valid(release: str) -> None:
    for manifest in base():
        kubernetes_validate.validate(manifest, release, strict=True)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_renders_to_valid_manifests(overlay: str, release: str) -> None:
    manifests = rendered(overlay)
    assert {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"} <= {
        manifest["kind"] for manifest in manifests
    }
    for manifest in manifests:
        kubernetes_validate.validate(manifest, release, strict=True)


def test_every_pod_is_at_the_restricted_level_with_a_read_only_root() -> None:
    assert set(pods(base())) == {"sepal-gateway", "sepal-model-server", "sepal-bulk"}
    for pod in pods(base()).values():
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def test_the_user_is_that_of_the_images() -> None:
    for file in ("Dockerfile.fastapi", "deploy/bento/Dockerfile.j2"):
        assert "USER 10001:10001" in (ROOT / file).read_text()
    assert {pod["securityContext"]["runAsUser"] for pod in pods(base()).values()} == {10001}


def test_probes_ask_what_the_tiers_mean_by_them() -> None:
    asked = {
        name: {
            probe: pod["containers"][0][f"{probe}Probe"]["httpGet"]["path"]
            for probe in ("startup", "readiness", "liveness")
        }
        for name, pod in pods(base()).items()
        if name != "sepal-bulk"
    }
    assert asked == {
        "sepal-gateway": {"startup": "/livez", "readiness": "/readyz", "liveness": "/livez"},
        "sepal-model-server": {"startup": "/startupz", "readiness": "/readyz", "liveness": "/livez"},
    }


def test_an_update_takes_no_pod_away_before_another_one_answers() -> None:
    settings = next(
        each["literals"]
        for each in yaml.safe_load((BASE / "kustomization.yaml").read_text())["configMapGenerator"]
    )
    given = dict(literal.split("=", 1) for literal in settings)
    for deployment in of_kind(base(), "Deployment"):
        spec = deployment["spec"]
        assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        drained = float(given["SEPAL_DRAIN_DELAY"]) + float(given["SEPAL_STOP_TIMEOUT"])
        assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > drained + 5


def test_only_the_gateway_reaches_the_model_server() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(base(), "NetworkPolicy")}
    assert policies["sepal-nothing"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policies["sepal-nothing"]
    http = [
        source["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for name, spec in policies.items()
        if spec["podSelector"]["matchLabels"].get("app.kubernetes.io/component") == "model-server"
        for rule in spec["ingress"]
        for source in rule["from"]
    ]
    assert http == ["gateway"]


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget"])
def test_services_and_budgets_select_pods_that_there_are(kind: str) -> None:
    labelled = [each["spec"]["template"]["metadata"]["labels"] for each in of_kind(base(), "Deployment")]
    for manifest in of_kind(base(), kind):
        selector = manifest["spec"]["selector"]
        selector = selector.get("matchLabels", selector)
        assert any(selector.items() <= labels.items() for labels in labelled)


def test_autoscalers_scale_deployments_that_there_are_by_cpu_and_by_requests() -> None:
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]
        for each in of_kind(base(), "HorizontalPodAutoscaler")
    }
    assert set(scaled) == {each["metadata"]["name"] for each in of_kind(base(), "Deployment")}
    measured = [metric["type"] for metric in scaled["sepal-gateway"]["metrics"]]
    assert measured == ["Resource", "Pods"]


def test_production_asks_for_keys() -> None:
    manifests = rendered("production")
    [settings] = of_kind(manifests, "ConfigMap")
    assert settings["data"]["SEPAL_ENV"] == "production"
    gateway = pods(manifests)["sepal-gateway"]
    [mount] = [each for each in gateway["containers"][0]["volumeMounts"] if each["name"] == "keys"]
    assert settings["data"]["SEPAL_KEYS_FILE"].startswith(mount["mountPath"] + "/")
    assert mount["readOnly"] is True


@pytest.mark.parametrize(("scheduled", "day"), [("29384730", "2025-11-13"), ("29384640", "2025-11-13")])
def test_the_nightly_run_scores_the_day_before_the_one_it_was_scheduled_for(
    scheduled: str, day: str
) -> None:
    script = pods(base())["sepal-bulk"]["containers"][0]["command"][-1].replace(
        "exec python", "echo python"
    )
    ended = run("env", f"JOB_NAME=sepal-bulk-{scheduled}", "MODEL=iris", "sh", "-eu", "-c", script)
    assert f"/bulk/in/{day}.csv /bulk/out/{day}.csv" in ended.stdout
