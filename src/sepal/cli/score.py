"""`sepal score`: bulk scoring, on this machine or on Spark."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from sepal.contracts import Contract
from sepal.contracts.catalogue import load_contracts, pick
from sepal.errors import StoppedError
from sepal.settings import Settings, load_settings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from sepal.bulk.job import Job


class Engine(StrEnum):
    """What scores."""

    local = "local"
    spark = "spark"


class LogFormat(StrEnum):
    """How progress is told."""

    auto = "auto"
    plain = "plain"
    json = "json"


def score(
    model: Annotated[str, typer.Argument(help="The model, such as iris.")],
    input_: Annotated[
        str, typer.Argument(metavar="INPUT", help="File, folder, pattern, or s3://, gs://, abfs:// URL.")
    ],
    output: Annotated[str, typer.Argument(help="File or URL to write; a folder with --partition-by.")],
    model_version: Annotated[
        str | None, typer.Option(help="The version that scores; by default the champion at the start.")
    ] = None,
    keep: Annotated[
        str, typer.Option(help="Columns to carry over: all, or names separated by commas.")
    ] = "",
    proba: Annotated[bool, typer.Option("--proba", help="Write each label's probability too.")] = False,
    input_format: Annotated[
        str | None, typer.Option(help="csv, jsonl or parquet; by default what INPUT's name says.")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", help="csv, jsonl or parquet; by default what OUTPUT's name says."),
    ] = None,
    delimiter: Annotated[str, typer.Option(help="Between the values of a CSV input.")] = ",",
    encoding: Annotated[
        str | None, typer.Option(help="Of text input; by default UTF-8, or what its byte order mark says.")
    ] = None,
    prediction_name: Annotated[str, typer.Option(help="Name of the prediction's column.")] = "prediction",
    row_id: Annotated[
        str | None, typer.Option(help="Add a column of this name: file and line, the same in every run.")
    ] = None,
    partition_by: Annotated[
        str,
        typer.Option(
            help="Columns, separated by commas, that become folders of Parquet files; "
            "also year, month and day of the contract's time."
        ),
    ] = "",
    max_rejected: Annotated[
        str, typer.Option(help="Rejected rows past which the run stops: a count, or a share such as 1%.")
    ] = "1%",
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, whatever an unfinished run has left.")
    ] = False,
    sample: Annotated[int | None, typer.Option(help="Score only the first N rows.", min=1)] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the headers and the first chunk; write nothing.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Threads that score.", min=1, max=64)] = None,
    memory: Annotated[
        str | None, typer.Option(help="Memory to work in, such as 300MB; by default 500MB.")
    ] = None,
    engine: Annotated[
        Engine,
        typer.Option(help="local: this machine; spark: a cluster, OUTPUT is a folder of part files."),
    ] = Engine.local,
    master: Annotated[
        str | None,
        typer.Option(help="Spark's master URL; by default spark-submit's, or local[*].", metavar="URL"),
    ] = None,
    log_format: Annotated[
        LogFormat, typer.Option(help="auto: a bar in a terminal, else plain lines; json: a line each.")
    ] = LogFormat.auto,
) -> None:
    """Score a file of any size, each row once, in bounded memory.

    Rows that break the contract go to OUTPUT.rejected.csv with file, line, column and
    reason; OUTPUT.manifest.json tells what was done. A run that was killed is resumed by
    the same command. OUTPUT appears only when it is whole.

    Exit codes: 0 done, 2 wrong options, 3 wrong settings, 4 no such model, version or file,
    5 a file that can't be used, 6 a version that must not be loaded, 7 a registry that can't
    be used, 9 more rejected rows than allowed, 10 an unfinished run that was begun otherwise,
    11 another run is writing OUTPUT, 12 no space or no permission, 14 Spark's job failed,
    130 stopped.
    """
    job = job_of(
        model=model,
        input=input_,
        output=output,
        version=model_version,
        keep="all" if keep == "all" else _names(keep),
        proba=proba,
        input_format=input_format,
        output_format=format_,
        delimiter="\t" if delimiter == "\\t" else delimiter,
        encoding=encoding,
        prediction_name=prediction_name,
        row_id=row_id,
        partition_by=_names(partition_by),
        max_rejected=max_rejected,
        sample=sample,
    )
    if master is not None and engine is not Engine.spark:
        raise typer.BadParameter("--master is for --engine spark")
    if workers is not None and engine is Engine.spark:
        raise typer.BadParameter(
            "--workers is for --engine local: Spark's own settings say how many tasks run at once"
        )
    settings = load_settings(bulk_workers=workers, bulk_memory=memory)
    if dry_run:
        _try(job, settings, log_format)
    elif engine is Engine.spark:
        _run_on_spark(job, settings, log_format, master, restart=restart)
    else:
        run_job(job, settings, log_format, restart=restart)


def run_job(
    job: "Job", settings: Settings, log_format: LogFormat = LogFormat.auto, *, restart: bool = False
) -> None:
    """Score the files of a job, and tell how far it is, and what came of it at the end."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # `run` allows one: starting more takes 0.06 s
    from sepal.bulk.run import run
    from sepal.cli.progress import summarise, teller

    contract = _contract(job, settings)
    with _stopped_by_signals(), teller(log_format) as tell:
        manifest = run(job, contract, settings, watch=tell, restart=restart)
    summarise(manifest, job, log_format)


def _run_on_spark(
    job: "Job", settings: Settings, log_format: LogFormat, master: str | None, *, restart: bool
) -> None:
    from sepal.bulk.spark.run import run
    from sepal.cli.progress import summarise

    contract = _contract(job, settings)
    with _stopped_by_signals():
        manifest = run(job, contract, settings, master=master, restart=restart)
    summarise(manifest, job, log_format)


def _try(job: "Job", settings: Settings, log_format: LogFormat) -> None:
    from sepal.bulk.run import try_first_chunk
    from sepal.cli.progress import tell_dry_run

    scored = try_first_chunk(job, _contract(job, settings), settings)
    tell_dry_run(len(scored.frame), scored.reasons, log_format)


def _contract(job: "Job", settings: Settings) -> Contract:
    return pick(load_contracts(settings.contracts_path), job.model, "model")


def job_of(**values: Any) -> "Job":  # noqa: ANN401 (the options as they came)
    """The job that options describe; what is wrong with them is told by their names."""
    from sepal.bulk.job import Job

    try:
        return Job(**values)
    except ValidationError as error:
        wrong = (
            f"{_option(str(each['loc'][0]))} {each['input']!r}: {_said(each)}"
            if each["loc"]
            else _said(each)
            for each in error.errors()
        )
        raise typer.BadParameter("; ".join(dict.fromkeys(wrong))) from error


def _option(field: str) -> str:
    """What a field of the job is called on the command line."""
    name = {"version": "model-version", "output_format": "format"}.get(field, field)
    return name.upper() if name in ("model", "input", "output") else f"--{name.replace('_', '-')}"


def _said(error: "ErrorDetails") -> str:
    return error["msg"].removeprefix("Value error, ")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a run as something to be resumed."""

    def stop(number: int, _: object) -> None:
        raise StoppedError("Stopped. What is done is kept: the same command goes on where this one stood.")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
