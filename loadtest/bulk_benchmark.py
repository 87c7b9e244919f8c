"""Holds bulk scoring against other ways to score the same file: `make bench-bulk`."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from loadtest.bench.environments import python_with
from loadtest.bench.systems import ROOT, own_python

app = typer.Typer(pretty_exceptions_enable=False)

_DATA = ROOT / "loadtest" / "bulk" / "data.py"
_CONTENDER = ROOT / "loadtest" / "bulk" / "contender.py"


@dataclass(frozen=True)
class Task:
    """What is to be done to a file."""

    kind: str
    form: str
    proba: bool

    def __str__(self) -> str:
        return f"{self.kind}, {self.form}, {'labels and probabilities' if self.proba else 'predictions'}"


@dataclass(frozen=True)
class Sample:
    """A whole process, from its start to its end; MB of memory at its peak."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Bound:
    """What Sepal's time may be, as a share of another's."""

    task: Task
    against: str
    at_most: float


IRIS_TASKS = [Task("iris", form, proba) for form in ("csv", "parquet") for proba in (False, True)]
RIDE_TASKS = [Task("rides", form, False) for form in ("csv", "parquet")]

BOUNDS = [
    Bound(IRIS_TASKS[0], "pandas_whole", 1 / 5),
    Bound(IRIS_TASKS[1], "pandas_whole", 1 / 14),
    Bound(IRIS_TASKS[3], "pandas_whole", 1 / 8),
    *(Bound(task, "polars_lazy", 1.6) for task in IRIS_TASKS),
    Bound(IRIS_TASKS[1], "duckdb_sql", 0.7),
]
MOST_MB = 500


def say(line: str) -> None:
    """A line for the person who watches."""
    print(line, flush=True)  # noqa: T201 (a command's output)


@app.command()
def main(
    rows: Annotated[int, typer.Option(min=1000, help="Rows of iris.")] = 10_000_000,
    ride_rows: Annotated[int, typer.Option(min=0, help="Rows of rides; 0 for none.")] = 2_000_000,
    forest_rows: Annotated[
        int, typer.Option(min=0, help="Rows for a random forest; 0 for none.")
    ] = 5_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the table gives their medians.")] = 3,
    ways: Annotated[
        str, typer.Option(help="Which to run beside Sepal.")
    ] = "floor,polars_lazy,duckdb_sql,pandas_whole,pandas_chunks",
    many: Annotated[int, typer.Option(help="Also so many rows of iris, by Sepal alone; 0 for none.")] = 0,
    folder: Annotated[Path, typer.Option(help="Folder of the inputs, which are kept.")] = ROOT
    / ".bench"
    / "bulk",
) -> None:
    """Score files in each way, one after the other, round after round; whole processes are timed."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        bench = Bench(folder, Path(scratch), ways.split(","))
        samples: dict[tuple[Task, str], list[Sample]] = {}
        tasks = [(task, rows) for task in IRIS_TASKS] + [
            (task, ride_rows) for task in RIDE_TASKS if ride_rows
        ]
        for number in range(rounds):
            for task, n_rows in tasks:
                for way in bench.ways(task):
                    sample = bench.run(way, task, n_rows)
                    samples.setdefault((task, way), []).append(sample)
                    told = f"{sample.seconds:.2f} s, {sample.peak_mb:.0f} MB"
                    say(f"round {number + 1}: {task}: {way}: {told}")
        say(_report(samples, dict(tasks)))
        if forest_rows:
            say(bench.forest(forest_rows))
        if many:
            say(bench.growth(rows, many))
    results = ROOT / "loadtest" / "results"
    results.mkdir(exist_ok=True)
    found = [
        {"task": str(task), "way": way, **asdict(s)} for (task, way), each in samples.items() for s in each
    ]
    (results / f"bulk-{time.strftime('%Y%m%d-%H%M%S')}.json").write_text(json.dumps(found, indent=1))


class Bench:
    """Makes inputs and models, and runs each way as a process."""

    def __init__(self, folder: Path, scratch: Path, ways: list[str]) -> None:
        self._folder, self._scratch, self._ways = folder, scratch, ways
        self._environment = {**os.environ, "SEPAL_DATA_DIR": str(scratch / "data"), "PYTHONPATH": str(ROOT)}
        (scratch / "data").mkdir()
        for name in ("Iris.csv", "synthetic_rides.csv"):
            shutil.copy(ROOT / "data" / name, scratch / "data")
        for model, algorithm in (("iris", "log_reg"), ("ride_duration", "linear"), ("iris", "rand_forest")):
            self._sepal("train", model, "--algorithm", algorithm)
        self._write_models()

    def ways(self, task: Task) -> Iterator[str]:
        """What can do a task: the linear model of rides is no plain expression."""
        yield "sepal"
        for way in self._ways:
            if task.kind == "rides" and not way.startswith("pandas"):
                continue
            if way == "pandas_chunks" and task.form == "parquet":
                continue
            yield way

    def run(self, way: str, task: Task, n_rows: int) -> Sample:
        """Do a task once."""
        source = self._folder / f"{task.kind}-{n_rows}.{task.form}"
        self._write_data(task.kind, n_rows, source)
        target = self._scratch / f"out.{task.form}"
        if way == "sepal":
            model = {"iris": "iris", "rides": "ride_duration"}[task.kind]
            command = [str(own_python().with_name("sepal")), "score", model, str(source), str(target)]
        else:
            command = [
                *self._python(way),
                str(_CONTENDER),
                way,
                str(source),
                str(target),
                self._model(way, task.kind),
            ]
        sample = self._measure([*command, *(["--proba"] if task.proba else [])])
        target.unlink()
        return sample

    def forest(self, n_rows: int) -> str:
        """A random forest by scikit-learn: how much of the time is not its predict."""
        source = self._folder / f"iris-{n_rows}.csv"
        self._write_data("iris", n_rows, source)
        target = self._scratch / "out.csv"
        command = [str(own_python().with_name("sepal")), "score", "iris", str(source), str(target)]
        self._environment["SEPAL_COMPILED_SCORING"] = "off"
        whole = self._measure([*command, "--model-version", "rand_forest_2"])
        del self._environment["SEPAL_COMPILED_SCORING"]
        spent = self._scratch / "seconds"
        self._measure(
            [
                str(own_python()),
                str(_CONTENDER),
                "predict_only",
                str(source),
                str(spent),
                self._model("forest", "iris"),
            ]
        )
        share = 1 - float(spent.read_text()) / whole.seconds
        return (
            f"Random forest by scikit-learn, {n_rows:,} rows: {whole.seconds:.2f} s, of which "
            f"{share:.1%} is not its predict (bound: 15 %)."
        )

    def growth(self, rows: int, many: int) -> str:
        """The same rows/s and peak memory for many times the rows."""
        task = IRIS_TASKS[0]
        few, more = self.run("sepal", task, rows), self.run("sepal", task, many)
        return (
            f"{many:,} rows of {task}: {many / more.seconds:,.0f} rows/s, {more.peak_mb:.0f} MB "
            f"at the peak; {rows:,} rows: {rows / few.seconds:,.0f} rows/s, {few.peak_mb:.0f} MB."
        )

    def _write_data(self, kind: str, n_rows: int, path: Path) -> None:
        if not path.exists():
            subprocess.run([str(own_python()), str(_DATA), kind, str(n_rows), str(path)], check=True)

    def _python(self, way: str) -> list[str]:
        return [str(python_with("duckdb") if way == "duckdb_sql" else own_python())]

    def _model(self, way: str, kind: str) -> str:
        name = {"polars_lazy": "linear.json", "duckdb_sql": "linear.json", "forest": "forest.pkl"}.get(way)
        return str(self._scratch / (name or f"{kind}.pkl"))

    def _write_models(self) -> None:
        """The trained pipelines as the other ways want them."""
        models = self._scratch / "data" / "bentoml" / "models"
        for name, place in (
            ("iris", "iris/log_reg_1"),
            ("rides", "ride_duration/linear_1"),
            ("forest", "iris/rand_forest_2"),
        ):
            shutil.copy(models / place / "model.pkl", self._scratch / f"{name}.pkl")
        pipeline = pickle.loads((self._scratch / "iris.pkl").read_bytes())  # noqa: S301 (trained above)
        scaler, last = (step for _, step in pipeline.steps)
        weights = last.coef_ / scaler.scale_
        linear: Mapping[str, Any] = {
            "labels": list(pipeline.classes_),
            "weights": weights.tolist(),
            "intercepts": (last.intercept_ - weights @ scaler.mean_).tolist(),
        }
        (self._scratch / "linear.json").write_text(json.dumps(linear))

    def _sepal(self, *arguments: str) -> None:
        subprocess.run(
            [str(own_python().with_name("sepal")), *arguments],
            env=self._environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def _measure(self, command: list[str]) -> Sample:
        os.sync()  # nobody pays for what another has left unwritten
        started = time.perf_counter()
        process = subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(command)} ended with code {process.returncode}")
        return Sample(
            time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6
        )


def _report(samples: Mapping[tuple[Task, str], list[Sample]], n_rows: Mapping[Task, int]) -> str:
    """Markdown: a table for each task, then what must be reached."""
    middle = {
        key: Sample(*(median(values) for values in zip(*(asdict(s).values() for s in each), strict=True)))
        for key, each in samples.items()
    }
    lines: list[str] = []
    for task, rows in n_rows.items():
        lines += [
            "",
            f"### {task}, {rows:,} rows",
            "",
            "| | seconds | rows/s | CPU s | peak MB | Sepal's time |",
            "|---|--:|--:|--:|--:|--:|",
        ]
        ours = middle[task, "sepal"]
        for (at, way), sample in sorted(middle.items(), key=lambda item: item[1].seconds):
            if at == task:
                lines.append(
                    f"| {way} | {sample.seconds:.2f} | {rows / sample.seconds:,.0f} "
                    f"| {sample.cpu_seconds:.1f} | {sample.peak_mb:,.0f} "
                    f"| {ours.seconds / sample.seconds:.2f} of it |"
                )
    lines += ["", "### Must reach", "", "| | against | bound | reached | |", "|---|---|--:|--:|---|"]
    for bound in BOUNDS:
        if (bound.task, bound.against) in middle:
            ratio = middle[bound.task, "sepal"].seconds / middle[bound.task, bound.against].seconds
            lines.append(_verdict(str(bound.task), f"time of {bound.against}", bound.at_most, ratio))
    peak = max(sample.peak_mb for (_, way), sample in middle.items() if way == "sepal")
    lines.append(_verdict("every task", "peak MB", MOST_MB, peak))
    return "\n".join(lines)


def _verdict(what: str, against: str, bound: float, reached: float) -> str:
    said = "pass" if reached <= bound else "**FAIL**"
    return f"| {what} | {against} | at most {bound:.3g} | {reached:.3g} | {said} |"


if __name__ == "__main__":
    app()
