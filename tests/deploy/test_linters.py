"""What others wrote to find mistakes in such files finds none; what is not installed is skipped by name."""

from pathlib import Path

import pytest

from tests.deploy.conftest import ROOT, program, run

SCRIPTS = sorted(
    str(path.relative_to(ROOT)) for path in [*(ROOT / "deploy").rglob("*.sh"), ROOT / ".ci" / "run"]
)
WORKFLOWS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / ".github" / "workflows").glob("*.yml"))


def finds_nothing(*command: str) -> None:
    ended = run(*command)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_hadolint_finds_nothing_in_the_gateways_dockerfile() -> None:
    finds_nothing(program("hadolint"), "Dockerfile.fastapi")


def test_hadolint_finds_nothing_in_the_bentos_dockerfile(tmp_path: Path) -> None:
    template = (ROOT / "deploy" / "bento" / "Dockerfile.j2").read_text()
    rendered = template.replace("{{ bento__path }}", "/home/bentoml/bento").replace(
        '{{ __options__python_version or "3.11" }}', "3.11"
    )
    assert "{{" not in rendered
    _, _, dockerfile = rendered.partition("#}\n")
    (tmp_path / "Dockerfile").write_text(dockerfile)
    finds_nothing(program("hadolint"), str(tmp_path / "Dockerfile"))


def test_shellcheck_finds_nothing_in_the_scripts() -> None:
    finds_nothing(program("shellcheck"), *SCRIPTS)


def test_actionlint_finds_nothing_in_the_workflows() -> None:
    finds_nothing(program("actionlint"), *WORKFLOWS)


def test_zizmor_finds_nothing_in_the_workflows() -> None:
    finds_nothing(program("zizmor"), "--offline", "--no-progress", "--quiet", ".github")


def test_promtool_finds_nothing_in_the_configuration_of_prometheus() -> None:
    finds_nothing(program("promtool"), "check", "config", "--syntax-only", "deploy/compose/prometheus.yml")


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_every_action_is_pinned_by_its_digest_with_its_release_beside_it(workflow: str) -> None:
    for line in (ROOT / workflow).read_text().splitlines():
        if "uses: " in line and "./" not in line:
            action, _, release = line.partition("uses: ")[2].partition(" # ")
            assert len(action.partition("@")[2]) == 40, line
            assert release.startswith("v"), line
