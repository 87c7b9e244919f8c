"""The systems that the benchmark holds against each other: how each starts, is asked, and answers."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COLUMNS = ("SepalLengthCm", "SepalWidthCm", "PetalLengthCm", "PetalWidthCm")
LABELS = ("Iris-setosa", "Iris-versicolor", "Iris-virginica")

Rows = list[list[float]]


@dataclass(frozen=True)
class Place:
    """What one start of a system may use: its Python, a folder of its own, and free ports."""

    python: Path
    folder: Path
    ports: tuple[int, int, int]

    def script(self, name: str) -> str:
        """A command installed beside this Python."""
        return str(self.python.parent / name)


@dataclass(frozen=True)
class System:
    """One system. Its URL is at the first port of its place.

    `body` makes the JSON of rows, `labels` reads the labels out of the answer to them.
    """

    name: str
    title: str
    command: Callable[[Place], list[str]]
    path: str
    path_many: str
    body: Callable[[Rows], object]
    labels: Callable[[Any], list[Any]]
    packages: tuple[str, ...]
    requirements: str | None = None
    """Name of the requirements file; without one it runs in the project's own environment."""
    prepare: Callable[[Place], list[str]] | None = None
    environment: Callable[[Place], dict[str, str]] = field(default=lambda _place: {})
    constant: bool = False
    """Answers Iris-virginica whatever it is asked: a floor, no model."""

    def answers(self, answer: object) -> list[int]:
        """Class indices in an answer; ValueError, KeyError, TypeError or IndexError if it has none."""
        return [LABELS.index(said) if isinstance(said, str) else int(said) for said in self.labels(answer)]


def environment_of(system: System, place: Place) -> dict[str, str]:
    """The environment of a start: ours, without settings of Sepal, nothing that reports use."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SEPAL_")}
    paths = [str(ROOT)] if system.requirements else [str(ROOT / "src"), str(ROOT)]
    return {
        **inherited,
        "PATH": f"{place.python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": os.pathsep.join(paths),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(place.folder / "bentoml"),
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        **system.environment(place),
    }


def _row_or_rows(rows: Rows) -> object:
    """Objects by name; one row is no array."""
    objects = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    return objects[0] if len(objects) == 1 else objects


def _in_rows(rows: Rows) -> object:
    return {"rows": rows}


def _in_tensor(rows: Rows) -> object:
    tensor = {"name": "predict", "shape": [len(rows), 4], "datatype": "FP64", "data": rows}
    return {"inputs": [tensor]}


def _in_labelled_tensor(rows: Rows) -> object:
    tensor = {"name": "rows", "shape": [len(rows), 4], "datatype": "FP64", "data": rows}
    return {"inputs": [tensor], "outputs": [{"name": "output"}]}


def _in_inputs(rows: Rows) -> object:
    return {"inputs": rows}


def _outputs(answer: Any) -> list[object]:  # noqa: ANN401 (any JSON)
    return [one["output"] for one in (answer if isinstance(answer, list) else [answer])]


def _output(answer: Any) -> list[object]:  # noqa: ANN401 (any JSON)
    return list(answer["output"])


def _python(*arguments: str) -> Callable[[Place], list[str]]:
    return lambda place: [str(place.python), "-m", *arguments]


def _uvicorn(module: str) -> Callable[[Place], list[str]]:
    return lambda place: [
        *(str(place.python), "-m", "uvicorn", f"loadtest.systems.{module}:app"),
        *("--host", "127.0.0.1", "--port", str(place.ports[0]), "--no-access-log"),
    ]


def _sepal(**settings: object) -> Callable[[Place], dict[str, str]]:
    def environment(place: Place) -> dict[str, str]:
        return {
            "SEPAL_DATA_DIR": str(place.folder / "data"),
            "SEPAL_GATEWAY_PORT": str(place.ports[0]),
            "SEPAL_MODEL_SERVER_PORT": str(place.ports[1]),
            **{f"SEPAL_{name.upper()}": str(value) for name, value in settings.items()},
        }

    return environment


def _sepal_command(place: Place) -> list[str]:
    return [place.script("sepal"), "serve", "iris", "--train-missing"]


def _copy_data(place: Place) -> list[str]:
    copy = "import pathlib, shutil, sys; to = pathlib.Path(sys.argv[2]); to.mkdir(); "
    copy += "[shutil.copy(file, to) for file in pathlib.Path(sys.argv[1]).glob('*.csv')]"
    return [str(place.python), "-c", copy, str(ROOT / "data"), str(place.folder / "data")]


_ABLATION: dict[str, tuple[str, dict[str, object]]] = {
    "sepal_declared": ("fast route off", {"fast_route": "off"}),
    "sepal_dispatcher": ("express lane off", {"express_lane": "off"}),
    "sepal_sklearn": ("compiled scoring off", {"compiled_scoring": "off"}),
    "sepal_none": (
        "all four off",
        {"fast_route": "off", "express_lane": "off", "compiled_scoring": "off", "coalesce": "off"},
    ),
    "sepal_unlogged": ("no line of the log for a request", {"log_level": "warning"}),
    "sepal_two_calls": ("two calls at once", {"concurrent_calls": 2}),
    "sepal_two_gateways": ("two gateway workers", {"gateway_workers": 2}),
    "sepal_two_servers": ("two model-server workers", {"model_server_workers": 2}),
}


def _protocols() -> list[System]:
    """Sepal, asked in the protocols of others."""
    sepal: dict[str, Any] = {
        "command": _sepal_command,
        "prepare": _copy_data,
        "environment": _sepal(),
        "packages": ("sepal", "fastapi", "pydantic", "uvicorn", "bentoml", "scikit-learn"),
    }
    return [
        System(
            name="sepal_v2",
            title="Sepal, Open Inference Protocol",
            path="/v2/models/iris/infer",
            path_many="/v2/models/iris/infer",
            body=_in_labelled_tensor,
            labels=lambda answer: list(answer["outputs"][0]["data"]),
            **sepal,
        ),
        System(
            name="sepal_mlflow",
            title="Sepal, MLflow scoring",
            path="/iris/invocations",
            path_many="/iris/invocations",
            body=_in_inputs,
            labels=lambda answer: list(answer["predictions"]),
            **sepal,
        ),
        System(
            name="sepal_older",
            title="Sepal, older services",
            path="/predict",
            path_many="/predict",
            body=lambda rows: {"input": rows},
            labels=lambda answer: [f"Iris-{label}" for label in answer["prediction"]],
            **sepal,
        ),
    ]


def _row_systems() -> list[System]:
    """Those that take the rows as Sepal does: as objects by name."""
    shared: dict[str, Any] = {"body": _row_or_rows, "labels": _outputs}
    fastapi = ("fastapi", "pydantic", "uvicorn")
    sepal = {"path": "/iris/predict", "path_many": "/iris/predict", "prepare": _copy_data, **shared}
    sepal |= {"command": _sepal_command, "packages": ("sepal", *fastapi, "bentoml", "scikit-learn")}
    plain = {"path": "/predict", "path_many": "/predict-many", **shared}
    return [
        System(name="sepal", title="Sepal", environment=_sepal(), **sepal),
        System(
            name="sepal_off", title="Sepal, coalescing off", environment=_sepal(coalesce="off"), **sepal
        ),
        *(
            System(name=name, title=f"Sepal, {title}", environment=_sepal(**settings), **sepal)
            for name, (title, settings) in _ABLATION.items()
        ),
        System(
            name="two_tier",
            title="plain two-tier",
            command=_python("loadtest.systems.two_tier_server"),
            environment=lambda place: {
                "GATEWAY_PORT": str(place.ports[0]),
                "MODEL_SERVER_PORT": str(place.ports[1]),
            },
            packages=(*fastapi, "aiohttp", "bentoml", "scikit-learn"),
            **plain,
        ),
        System(
            name="one_tier",
            title="one tier: FastAPI + scikit-learn",
            command=_uvicorn("one_tier"),
            packages=(*fastapi, "scikit-learn"),
            **plain,
        ),
        System(
            name="empty",
            title="empty FastAPI + Pydantic",
            command=_uvicorn("empty"),
            packages=fastapi,
            constant=True,
            **plain,
        ),
        System(
            name="bare",
            title="bare uvicorn",
            command=_uvicorn("bare"),
            packages=("uvicorn", "httptools", "uvloop"),
            constant=True,
            **plain,
        ),
    ]


def _peers() -> list[System]:
    """Other ways to serve a scikit-learn model, each asked in its own protocol."""
    predict: dict[str, Any] = {"path": "/predict", "path_many": "/predict"}
    return [
        System(
            name="bentoml",
            title="BentoML alone",
            command=lambda place: [
                *(str(place.python), "-m", "bentoml", "serve", "loadtest.systems.bentoml_service:Scorer"),
                *("--host", "127.0.0.1", "--port", str(place.ports[0])),
            ],
            path="/score",
            path_many="/score",
            body=_in_rows,
            labels=list,
            packages=("bentoml", "scikit-learn"),
        ),
        System(
            name="mlserver",
            title="MLServer, adaptive batching",
            requirements="mlserver",
            prepare=lambda place: [
                *(str(place.python), "-m", "loadtest.systems.mlserver_model", str(place.folder / "model")),
            ],
            command=lambda place: [place.script("mlserver"), "start", str(place.folder / "model")],
            environment=lambda place: {
                "MLSERVER_HTTP_PORT": str(place.ports[0]),
                "MLSERVER_GRPC_PORT": str(place.ports[1]),
                "MLSERVER_METRICS_PORT": str(place.ports[2]),
            },
            path="/v2/models/iris/infer",
            path_many="/v2/models/iris/infer",
            body=_in_tensor,
            labels=lambda answer: list(answer["outputs"][0]["data"]),
            packages=("mlserver", "mlserver-sklearn", "scikit-learn"),
        ),
        System(
            name="litserve",
            title="LitServe, batching",
            requirements="litserve",
            command=_python("loadtest.systems.litserve_api"),
            environment=lambda place: {"PORT": str(place.ports[0])},
            body=_in_rows,
            labels=_output,
            packages=("litserve", "scikit-learn"),
            **predict,
        ),
        System(
            name="mlflow",
            title="MLflow scoring server",
            requirements="mlflow",
            prepare=lambda place: [
                *(str(place.python), "-m", "loadtest.systems.mlflow_model", str(place.folder / "model")),
            ],
            command=lambda place: [
                *(place.script("mlflow"), "models", "serve", "--model-uri", str(place.folder / "model")),
                *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(place.ports[0])),
            ],
            path="/invocations",
            path_many="/invocations",
            body=_in_inputs,
            labels=lambda answer: list(answer["predictions"]),
            packages=("mlflow", "scikit-learn"),
        ),
        System(
            name="ray",
            title="Ray Serve, batching",
            requirements="ray",
            command=_python("loadtest.systems.ray_serve"),
            environment=lambda place: {"PORT": str(place.ports[0])},
            body=_in_rows,
            labels=_output,
            packages=("ray", "scikit-learn"),
            **predict,
        ),
        System(
            name="flask",
            title="Flask + gunicorn, 2 workers",
            requirements="flask",
            command=lambda place: [
                *(place.script("gunicorn"), "loadtest.systems.flask_app:app", "--workers", "2"),
                *("--bind", f"127.0.0.1:{place.ports[0]}"),
            ],
            body=_in_rows,
            labels=_output,
            packages=("flask", "gunicorn", "scikit-learn"),
            **predict,
        ),
    ]


SYSTEMS = {system.name: system for system in [*_row_systems(), *_protocols(), *_peers()]}
ABLATION = ("sepal", "sepal_off", *_ABLATION)
_BY_PROTOCOL = tuple(system.name for system in _protocols())
PROTOCOLS = ("sepal", *_BY_PROTOCOL, "mlserver", "mlflow")
COMPARED = tuple(name for name in SYSTEMS if name not in (*_ABLATION, *_BY_PROTOCOL))
QUICK = ("sepal", "sepal_off", "two_tier", "one_tier", "empty")
PEERS = tuple(system.name for system in _peers())


def own_python() -> Path:
    """The Python that runs the benchmark: the project's environment."""
    return Path(sys.executable)
