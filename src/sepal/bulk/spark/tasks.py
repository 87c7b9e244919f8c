"""What the executors do: score a span of a file, or find where the spans of a file begin."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from sepal.bulk.answers import Model
from sepal.bulk.outputs import rejected_segment
from sepal.bulk.plan import Plan
from sepal.bulk.rows import Done, Position
from sepal.bulk.scoring import Scored, no_rows
from sepal.bulk.sketch import Sketch
from sepal.bulk.spark.layout import COUNTS, REJECTED, Layout, layout_of
from sepal.bulk.spark.shipment import Packed, Span, unpacked
from sepal.bulk.work import Entry

if TYPE_CHECKING:
    from pyspark import Broadcast

Batches: TypeAlias = Iterator[Any]
"""Arrow's record batches, which ship no types."""

HEADER = -1
"""The chunk that the quarantine's header is told as, before all others of the first span."""


def scoring(shipped: "Broadcast[Packed]", spans: Sequence[Span]) -> Callable[[Batches], Batches]:
    """For `mapInArrow`: from numbers of spans to all that comes of them, as `layout` lays it out."""

    def score(numbers: Batches) -> Batches:
        plan, model = unpacked(shipped.value)
        for batch in numbers:
            for number in batch.column(0).to_pylist():
                yield from score_span(plan, model, number, spans[number])

    return score


def cutting(shipped: "Broadcast[Packed]", files: Sequence[int], size: int) -> Callable[[Batches], Batches]:
    """For `mapInArrow`: from places in `files` to the spans of about `size` bytes that each is cut into."""

    def cut(numbers: Batches) -> Batches:
        plan, _ = unpacked(shipped.value)
        for batch in numbers:
            for at in batch.column(0).to_pylist():
                spans, digest = cut_file(plan, files[at], size)
                yield pa.RecordBatch.from_pydict({"cut": [json.dumps([files[at], spans, digest])]})

    return cut


def cut_file(plan: Plan, number: int, size: int) -> tuple[list[Span], str | None]:
    """The spans of a file, of about `size` bytes each, and the digest of its content if it was read.

    A span begins where the local engine begins a chunk, and so at the start of a record,
    whatever quotes stand before it, sound or not. To know these places and their lines,
    text is read once more, as quickly as line breaks and quotes are found in it, by one
    task for each file; of Parquet the footer is read alone. A compressed or recoded file
    is one span.
    """
    file = plan.files[number]
    reader = plan.reader(file)
    if not reader.seekable:
        return [Span(number)], None
    spans, done, at = [], 0.0, reader.start
    for end in reader.ends():
        if (read := reader.share * file.size) - done >= size:
            spans.append(Span(number, at, end))
            done, at = read, end
    last = reader.done()
    if at != last.end:
        spans.append(Span(number, at, last.end))
    return spans, last.digest


def score_span(plan: Plan, model: Model, number: int, span: Span) -> Batches:
    """All that comes of a span: its scored rows, its rejected ones, and last the counts of both."""
    file = plan.files[span.file]
    reader = plan.reader(file)
    scorer = plan.scorer(model, file, reader)
    nothing = scorer.score(no_rows(scorer))
    layout = layout_of(plan.output, nothing.frame.schema)
    if number == 0:
        yield _quarantine(layout, number, HEADER, file.path, nothing)
    chunks = (
        reader.chunks() if span.start is None or span.end is None else reader.span(span.start, span.end)
    )
    entries = []
    for at, chunk in enumerate(chunks):
        scored = scorer.score(chunk.parse())
        yield from layout.scored(scored.frame, at)
        if scored.rejected:
            yield _quarantine(layout, number, at, file.path, scored)
        entries.append(_entry(span, scored))
    if not entries:
        yield from layout.scored(nothing.frame, 0)
        entries.append(_entry(span, nothing))
    digest = reader.done().digest if span.start is None else None
    counts = {
        "span": number,
        "file": span.file,
        "digest": digest,
        "entries": [asdict(entry) for entry in entries],
    }
    yield layout.told(COUNTS, json.dumps(counts))


def _quarantine(layout: Layout, number: int, at: int, file: str, scored: Scored) -> Any:  # noqa: ANN401
    lines = rejected_segment(file, scored.rejected, first=at == HEADER).data.decode()
    record = {"span": number, "chunk": at, "lines": lines.removesuffix("\n")}
    return layout.told(REJECTED, json.dumps(record))


def _entry(span: Span, scored: Scored) -> Entry:
    summary = scored.summary
    return Entry(
        span.file,
        Done(Position(0, 0), ""),
        len(scored.frame),
        len(scored.rejected),
        scored.reasons,
        summary.dump() if isinstance(summary, Sketch) else summary,
    )
