"""A bento: packed, exported, imported where nothing else is, and served; it scores files too."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.conftest import IRIS, RIDE, Place, Served
from tests.environment import clean
from tests.ports import free_port

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parents[2]


@dataclass
class Bento:
    """A bento in a BENTOML_HOME of its own."""

    home: Path
    tag: str

    @property
    def code(self) -> Path:
        return self.home / "bentos" / self.tag.replace(":", "/") / "src"

    @property
    def environment(self) -> dict[str, str]:
        return {**clean(), "BENTOML_HOME": str(self.home), "BENTOML_DO_NOT_TRACK": "True"}

    @contextmanager
    def serving(self) -> Iterator[str]:
        """`bentoml serve` of it, from its first answer to its clean end; the URL."""
        port = free_port()
        command = ["serve", self.tag, "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen([sys.executable, "-m", "bentoml", *command], env=self.environment)
        url = f"http://127.0.0.1:{port}"
        try:
            _until_it_answers(f"{url}/startupz", process)
            yield url
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        finally:
            process.kill()
            process.wait()

    def sepal(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command of the code in the bento."""
        return subprocess.run(
            [sys.executable, "-m", "sepal.cli", *arguments],
            env={**self.environment, "PYTHONPATH": str(self.code)},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )


def _until_it_answers(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if status(url) != 0:
            return
        time.sleep(0.1)
    pytest.fail(f"{url} does not answer")


def status(url: str) -> int:
    """The status of an answer; 0 for none."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 (our own tiers)
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


@contextmanager
def gateway(model_server: str) -> Iterator[Served]:
    """A gateway in front of it."""
    port = free_port()
    environment = clean(gateway_port=port, model_server_url=model_server)
    process = subprocess.Popen([sys.executable, "-m", "sepal.gateway"], env=environment)
    try:
        _until_it_answers(f"http://127.0.0.1:{port}/livez", process)
        yield Served(Place(Path(), environment), f"http://127.0.0.1:{port}", process)  # type: ignore[arg-type]
    finally:
        process.terminate()
        process.wait(30)


def packed(trained: Place, folder: Path) -> tuple[str, list[str]]:
    """The tag of a bento of both champions, and the command, as it is printed, that imports it."""
    requirements, file = folder / "requirements.txt", folder / "sepal.bento"
    requirements.write_text("bentoml==1.4.39\n")
    said = trained.sepal(
        *("bento", "--requirements", str(requirements), "--bentofile", str(ROOT / "bentofile.yaml")),
        *("--export", os.path.relpath(file)),
    ).stdout
    [importing] = [line for line in said.splitlines() if "bentoml import" in line]
    return said.split()[-1], shlex.split(importing.partition(": ")[2])


@pytest.fixture(scope="module")
def exported(trained: Place, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    return packed(trained, tmp_path_factory.mktemp("exported"))


@pytest.fixture
def bento(exported: tuple[str, list[str]], tmp_path: Path) -> Bento:
    """Imported into an empty BENTOML_HOME."""
    tag, (_, *importing) = exported
    bento = Bento(tmp_path / "home", tag)
    bento.home.mkdir()
    subprocess.run(
        [sys.executable, "-m", "bentoml", *importing],
        env=bento.environment,
        capture_output=True,
        check=True,
    )
    return bento


def change_one_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_the_same_champions_packed_again_are_the_same_bento(
    trained: Place, exported: tuple[str, list[str]], tmp_path: Path
) -> None:
    assert packed(trained, tmp_path)[0] == exported[0]


def test_an_imported_bento_answers_as_the_registry_does(bento: Bento, served: Served) -> None:
    with bento.serving() as url, gateway(url) as packed:
        for path, row in [
            ("/iris/predict-proba", IRIS),
            ("/iris/predict", [IRIS, {**IRIS, "PetalLengthCm": 1.4}]),
            ("/ride_duration/predict", RIDE),
        ]:
            assert packed.post(path, row) == served.post(path, row)
        assert status(f"{url}/startupz") == 200
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) != 0


def test_a_bento_scores_files_as_the_registry_does(bento: Bento, trained: Place, tmp_path: Path) -> None:
    flowers = trained.data_dir / "Iris.csv"
    ended = bento.sepal("score", "iris", str(flowers), str(tmp_path / "packed.csv"), "--proba")
    assert ended.returncode == 0, ended.stderr
    trained.sepal("score", "iris", str(flowers), str(tmp_path / "registry.csv"), "--proba")
    assert (tmp_path / "packed.csv").read_bytes() == (tmp_path / "registry.csv").read_bytes()


def test_a_bento_with_one_changed_byte_is_refused_and_its_other_model_answers(
    bento: Bento, trained: Place, tmp_path: Path
) -> None:
    change_one_byte(bento.home / "models" / "iris" / "log_reg_1" / "model.pkl")
    with bento.serving() as url, gateway(url) as packed:
        assert (
            packed.call(
                "/ride_duration/predict", b'{"PULocationID":10,"DOLocationID":50,"trip_distance":40}'
            )[0]
            == 200
        )
        assert (
            packed.call(
                "/iris/predict", b'{"SepalLengthCm":5,"SepalWidthCm":2,"PetalLengthCm":3,"PetalWidthCm":4}'
            )[0]
            == 503
        )
        reason = packed.call("/readyz")[1]["models"]["iris"]["reason"]
        assert "is not the artefact that was registered" in reason
        assert str(bento.home) in reason
        assert status(f"{url}/startupz") == 503
    ended = bento.sepal("score", "iris", str(trained.data_dir / "Iris.csv"), str(tmp_path / "out.csv"))
    assert ended.returncode == 6
    assert not (tmp_path / "out.csv").exists()


def test_a_bento_carries_neither_training_nor_tests_nor_the_gateway(bento: Bento) -> None:
    paths = {path.relative_to(bento.code).as_posix() for path in bento.code.rglob("*") if path.is_file()}
    assert "sepal/model_server/service.py" in paths
    assert {path.partition("/")[0] for path in paths} == {
        *("bentofile.yaml", "deploy", "packed", "requirements.txt", "sepal"),
        *(path.partition("/")[0] for path in paths if path.startswith("sepal-")),
    }
    unwanted = ("model_training", "test", "gateway", "spark", "migrations", "supervisor", "__pycache__")
    assert not [path for path in paths if any(word in path for word in unwanted)]


def test_a_bento_knows_its_releases_and_versions(bento: Bento) -> None:
    assert bento.sepal("--version").stdout.startswith("sepal 0.")
    listed = bento.sepal("models", "list").stdout
    assert "log_reg_1" in listed
    assert "linear_1" in listed
    assert bento.sepal("models", "verify").returncode == 0
