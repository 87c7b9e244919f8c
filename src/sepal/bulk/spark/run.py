"""Runs a job on Spark: the same reading, checking and scoring as on one machine, in many tasks."""

import json
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sepal.bulk.answers import Model
from sepal.bulk.job import Job
from sepal.bulk.manifest import manifest
from sepal.bulk.plan import Plan
from sepal.bulk.run import prepare
from sepal.bulk.scoring import no_rows
from sepal.bulk.spark.layout import COUNTS, KIND, ORDER, REJECTED, SCORED, Layout, layout_of
from sepal.bulk.spark.publishing import Place, check_apart
from sepal.bulk.spark.session import about_pandas_3_silent, opened, told_shortly
from sepal.bulk.spark.shipment import Packed, Shipment, Span
from sepal.bulk.spark.tasks import Batches, cutting, scoring
from sepal.bulk.totals import Totals
from sepal.bulk.work import Entry
from sepal.contracts import Contract
from sepal.errors import ClusterError, ConfigurationError, StoppedError
from sepal.settings import Settings
from sepal.user import user_name

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import Column, DataFrame, SparkSession

_MOST_SPANS = 50_000
"""Tasks of a job: their numbers must fit Spark's names of part files, which have five digits."""


def run(
    job: Job, contract: Contract, settings: Settings, *, master: str | None = None, restart: bool = False
) -> dict[str, Any]:
    """Score the files of a job on Spark, and give the manifest of its output.

    OUTPUT is a folder of part files, in the input's order by their names. It is whole or
    not there; a job that failed or was killed begins anew. Raises what `sepal.bulk.run.run`
    does, ConfigurationError if Spark can't be started, ClusterError if its job fails.
    """
    if job.sample is not None:
        raise ConfigurationError("A sample is scored on one machine: leave out --engine spark.")
    started = time.monotonic()
    plan, model = prepare(job, contract, settings, check=check_apart)
    layout = _layout(plan, model)
    try:
        with opened(master) as spark, told_shortly():
            who = f"{spark.sparkContext.applicationId} of {user_name()} on {socket.gethostname()}"
            since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            with Place.opened(spark, job.output, who=f"{who}, since {since}", restart=restart) as place:
                return _Run(spark, plan, model, layout, place, settings).score(started)
    except (KeyboardInterrupt, StoppedError) as error:
        raise StoppedError("Stopped. Nothing is published; the same command begins anew.") from error


def _layout(plan: Plan, model: Model) -> Layout:
    scorer = plan.scorer(model, plan.files[0], plan.reader(plan.files[0]))
    return layout_of(plan.output, scorer.score(no_rows(scorer)).frame.schema)


class _Run:
    """One run, on a session that is its own."""

    def __init__(
        self,
        spark: "SparkSession",
        plan: Plan,
        model: Model,
        layout: Layout,
        place: Place,
        settings: Settings,
    ) -> None:
        self._spark, self._plan, self._model, self._layout = spark, plan, model, layout
        self._place, self._settings = place, settings
        self._digests: dict[int, str] = {}

    def score(self, started: float) -> dict[str, Any]:
        """Score all, look at what is written, and publish it."""
        shipment = Packed.of(Shipment.of(self._plan, self._model, self._settings))
        shipped = self._spark.sparkContext.broadcast(shipment)
        try:
            spans = self._spans(shipped)
            self._write(shipped, spans)
        finally:
            shipped.destroy()
        totals = self._totals(len(spans))
        if totals.rejected:
            self._write_rejected()
        totals.check(self._plan.job, 1.0, self._place.quarantine)
        self._plan.check_input()
        made = self._made()
        told = manifest(
            self._plan,
            self._model,
            totals,
            self._digests,
            seconds=time.monotonic() - started,
            engine="spark",
            master=str(self._spark.sparkContext.master),
            spark=self._spark.version,
        )
        told["files"] = {name: {"bytes": size} for name, size in self._place.sizes(made).items()}
        self._place.publish(made, told)
        return told

    def _spans(self, shipped: "Broadcast[Packed]") -> list[Span]:
        """The spans of all files, in order; files that are larger than one are cut by tasks of Spark."""
        files = self._plan.files
        size = max(self._settings.bulk_span, sum(file.size for file in files) // _MOST_SPANS)
        large = [at for at, file in enumerate(files) if file.size > size and file.compression is None]
        cut = self._cut(shipped, large, size) if large else {}
        return [span for at in range(len(files)) for span in cut.get(at, [Span(at)])]

    def _cut(self, shipped: "Broadcast[Packed]", large: Sequence[int], size: int) -> dict[int, list[Span]]:
        numbers = self._spark.range(0, len(large), 1, len(large))
        found = _mapped(numbers, cutting(shipped, large, size), "cut string")
        cut = {}
        for (text,) in found.collect():
            number, spans, digest = json.loads(text)
            cut[number] = [Span.load(span) for span in spans]
            if digest is not None:
                self._digests[number] = digest
        return cut

    def _write(self, shipped: "Broadcast[Packed]", spans: Sequence[Span]) -> None:
        """Score every span in a task of its own, and have Spark commit all that comes of it."""
        from pyspark.sql.pandas.types import from_arrow_schema

        layout = self._layout
        schema = from_arrow_schema(layout.schema, prefer_timestamp_ntz=True)
        numbers = self._spark.range(0, len(spans), 1, len(spans))
        rows = _mapped(numbers, scoring(shipped, spans), schema)
        if layout.keys:
            order = [_column(name) for name in (KIND, *layout.keys, ORDER)]
            rows = rows.sortWithinPartitions(*order).drop(ORDER)
        else:  # so few folders are written side by side, in the rows' own order, with no sorting
            self._spark.conf.set("spark.sql.maxConcurrentOutputFileWriters", "3")
        write = rows.write.format(layout.format).partitionBy(KIND, *layout.keys)
        write.option("compression", self._compression()).save(self._place.written)

    def _compression(self) -> str:
        output = self._plan.output
        return "zstd" if output.format == "parquet" else output.compression or "none"

    def _totals(self, n_spans: int) -> Totals:
        """What the spans' counts add up to, in order; ClusterError unless each is there once."""
        counts = [json.loads(text) for (text,) in self._told(COUNTS).collect()]
        counts.sort(key=lambda count: count["span"])
        if (found := [count["span"] for count in counts]) != [*range(n_spans)]:
            raise ClusterError(
                f"Of {n_spans:,} spans of the input {len(found):,} are written. Nothing is published; the "
                "same command begins anew."
            )
        for count in counts:
            if count["digest"] is not None:
                self._digests[count["file"]] = count["digest"]
        entries = (Entry(**entry) for count in counts for entry in count["entries"])
        return Totals(self._plan.contract, entries)

    def _write_rejected(self) -> None:
        """Write the rejected rows, in the input's order, as one file."""
        from pyspark.sql.functions import col, from_json

        record = from_json(col("told"), "span INT, chunk INT, lines STRING").alias("record")
        rows = self._told(REJECTED).select(record).select("record.*")
        lines = rows.repartition(1).sortWithinPartitions("span", "chunk").select("lines")
        lines.write.text(self._place.rejected_parts)
        self._place.join_rejected()

    def _told(self, kind: int) -> "DataFrame":
        """What the tasks have told of a kind, a line of JSON each, in a column `told`."""
        found = self._spark.read.format(self._layout.format).load(self._folder(kind))
        return found.select(_column(self._layout.carrier).alias("told"))

    def _made(self) -> str:
        """The folder that will be the output; if no row is scored, it is one with the columns alone."""
        made = self._folder(SCORED)
        if not self._place.exists(made):
            empty = self._spark.createDataFrame([], self._columns())
            empty.coalesce(1).write.format(self._layout.format).save(made)
        if self._layout.format == "text":
            self._place.end_names(made, self._plan.output.format)
        return made

    def _columns(self) -> Any:  # noqa: ANN401 (pyspark's StructType)
        from pyspark.sql.pandas.types import from_arrow_schema
        from pyspark.sql.types import StructType

        schema = from_arrow_schema(self._layout.schema, prefer_timestamp_ntz=True)
        folders = {KIND, ORDER, *self._layout.keys}
        return StructType([field for field in schema if field.name not in folders])

    def _folder(self, kind: int) -> str:
        return f"{self._place.written}/{KIND}={kind}"


def _mapped(numbers: "DataFrame", function: Callable[[Batches], Batches], schema: Any) -> "DataFrame":  # noqa: ANN401
    with about_pandas_3_silent():
        return numbers.mapInArrow(function, schema)


def _column(name: str) -> "Column":
    from pyspark.sql.functions import col

    return col(f"`{name.replace('`', '``')}`")
