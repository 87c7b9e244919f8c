"""The documentation: its examples run, its links lead somewhere, and what it names exists."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from model_training.pipelines.train import train
from model_training.recipe import load_recipes
from sepal import errors
from sepal.cli.commands import app
from sepal.cli.keys import app as keys_app
from sepal.cli.models import app as models_app
from sepal.contracts.catalogue import load_contracts
from sepal.errors import SepalError
from sepal.registry import Registry
from sepal.scoring.matrix import example_rows
from sepal.scoring.scorer import load_version

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "data" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def python_blocks(page: Path) -> dict[str, str]:
    """The page's Python files by name; each block says its own in its first line."""
    blocks = re.findall(r"```python\n(# (\S+\.py)\n.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return {name: code for code, name in blocks}


def written(page: Path, folder: Path) -> Path:
    """A folder with the page's Python files in it."""
    for name, code in python_blocks(page).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(code, encoding="utf-8")
    return folder


def code_of(page: Path) -> list[str]:
    """What the page shows as code, in a line or in a block."""
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [*re.findall(r"`([^`\n]+)`", prose), *re.findall(r"^ {4}(.+)$", prose, re.MULTILINE)]


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_readmes_own_model_trains_and_answers_as_the_readme_says(
    tmp_path: Path, registry: Registry
) -> None:
    written(README, tmp_path)
    (tmp_path / "data").mkdir()
    subprocess.run([sys.executable, "make_wine_data.py"], cwd=tmp_path, check=True)
    contracts = load_contracts([tmp_path / "mine" / "contracts"])
    recipe = load_recipes(contracts, [tmp_path / "mine" / "recipes"])["wine"]
    version = train(
        recipe,
        contracts["wine"],
        data=tmp_path / "data" / recipe.default_data,
        register=registry.register,
        progress=lambda step: None,
    )
    loaded = load_version(version, contracts["wine"], registry.artefacts)
    _, *answer = loaded.score(example_rows(contracts["wine"]))[0].tolist()
    said = {"output": contracts["wine"].target.names[int(answer[0])], "model_name": version.name}
    assert json.dumps(said, separators=(",", ":")) in README.read_text(encoding="utf-8")


def test_every_row_that_the_readme_sends_is_one_that_its_model_takes(tmp_path: Path) -> None:
    contracts = load_contracts([written(README, tmp_path) / "mine" / "contracts"])
    calls = re.findall(r"127\.0\.0\.1:8000/(\w+)/predict.*?-d '(.*?)'", README.read_text(), re.DOTALL)
    assert [model for model, _ in calls] == ["iris", "ride_duration", "wine"]
    for model, row in calls:
        contracts[model].features.model_validate_json(row)


def test_the_contract_that_shows_every_kind_can_be_loaded(tmp_path: Path) -> None:
    contract = load_contracts([written(ROOT / "docs" / "contracts.md", tmp_path)])["delivery"]
    assert {column.kind for column in contract.columns} == {
        *("number", "integer", "category", "boolean", "time")
    }
    contract.features.model_validate({column.name: column.example for column in contract.columns})


@every_page
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    for target, anchor in re.findall(
        r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")
    ):
        file = page.parent / target if target else page
        assert file.is_file(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), f"{page.name} links to {target}#{anchor}"


@every_page
def test_every_file_of_the_project_that_is_named_is_there(page: Path) -> None:
    examples = {"mine", "make_wine_data.py", "my_contract.py"}
    for code in code_of(page):
        for path in re.findall(r"(?<![\w./])[\w./]+\.(?:py|toml|lock)\b", code):
            if not examples & {path.partition("/")[0]}:
                places = (ROOT, ROOT / "src" / "sepal", ROOT / "src" / "sepal" / "contracts")
                assert any((place / path).is_file() for place in places), f"{page.name} names {path}"


@every_page
def test_every_make_target_that_is_named_is_there(page: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for code in code_of(page):
        for target in re.findall(r"^make ([a-z][\w-]*)", code):
            assert target in targets, f"{page.name} names make {target}"


@every_page
def test_every_sepal_command_that_is_named_is_there(page: Path) -> None:
    def names(typer_app: object) -> set[str]:
        commands = typer_app.registered_commands  # type: ignore[attr-defined]
        groups = typer_app.registered_groups  # type: ignore[attr-defined]
        return {command.name or command.callback.__name__ for command in commands} | {
            g.name for g in groups
        }

    for code in code_of(page):
        for command, argument in re.findall(r"(?:^|/)sepal (\w+) ?([\w-]*)", code):
            groups = {"models": models_app, "keys": keys_app}
            assert command in {*names(app), *groups}, f"{page.name} names sepal {command}"
            if command in groups:
                assert argument in names(groups[command]), f"{page.name} names sepal {command} {argument}"


def test_every_exit_code_is_documented_and_no_other() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = text.partition("## Exit codes")[2].partition("\n## ")[0]
    family = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, SepalError)]
    assert {int(code) for code in re.findall(r"^\| `(\d+)`", section, re.MULTILINE)} == {
        0,
        2,  # typer's, for wrong usage
        *(error.exit_code for error in family),
    }
