"""Writes what was measured: Markdown for people, CSV for programs, SVG for the eye."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from loadtest.bench.results import Medians, Point, Sample, Samples, Verdict

_TIMES = "×"  # noqa: RUF001 (a multiplication sign is what is meant)
_FIGURES = ("requests_per_second", "p50_ms", "p99_ms", "errors", "cpu_seconds_per_1000_requests", "rss_mib")


def markdown(
    found: Medians, titles: Mapping[str, str], verdicts: Iterable[Verdict], samples: Samples
) -> str:
    """A table for each point, best first, with Sepal's ratio to each; then what must be reached."""
    parts = [_point_table(found, titles, point, samples) for point in sorted({point for _, point in found})]
    return "\n\n".join([*parts, _verdict_table(verdicts)]) + "\n"


def _point_table(found: Medians, titles: Mapping[str, str], point: Point, samples: Samples) -> str:
    here = {name: sample for (name, at), sample in found.items() if at == point}
    sepal = here.get("sepal")
    many = " | rows/s" if point.rows > 1 else ""
    head = f"| system | requests/s | of rounds{many} | p50 ms | p99 ms "
    head += "| errors | CPU s / 1,000 | RSS MiB | Sepal is |"
    lines = [f"### {point}", "", head, "|---" + "|--:" * (head.count("|") - 2) + "|"]
    for name, sample in sorted(here.items(), key=lambda item: -item[1].per_second):
        ratio = "" if sepal is None or name == "sepal" else _times(sepal.per_second, sample.per_second)
        rows = f" | {sample.per_second * point.rows:,.0f}" if point.rows > 1 else ""
        rates = f"{_number(sample.per_second)} | {_range(samples[name, point])}{rows}"
        lines.append(
            f"| {titles[name]} | {rates} | {_number(sample.p50)} "
            f"| {_number(sample.p99)} | {sample.errors:,} | {sample.cpu_per_1000:.3f} "
            f"| {sample.rss:,.0f} | {ratio} |"
        )
    return "\n".join(lines)


def _range(rounds: Iterable[Sample]) -> str:
    """The slowest and the fastest round, in requests/s."""
    rates = [sample.per_second for sample in rounds]
    return f"{_number(min(rates))} to {_number(max(rates))}"


def _verdict_table(verdicts: Iterable[Verdict]) -> str:
    lines = [
        "### Must reach",
        "",
        "| at | against | figure | bound | reached | |",
        "|---|---|---|--:|--:|---|",
    ]
    for verdict in verdicts:
        said = {True: "pass", False: "**FAIL**", None: "not measured"}[verdict.passed]
        times = _TIMES if verdict.what != "errors" else ""
        reached = "" if verdict.reached is None else f"{_number(verdict.reached)}{times}"
        bound = f"{verdict.relation} {verdict.bound:g}{times}"
        lines.append(
            f"| {verdict.at} | {verdict.against} | {verdict.what} | {bound} | {reached} | {said} |"
        )
    return "\n".join(lines)


def table_csv(found: Medians) -> str:
    """One line for each system and point: the medians."""
    return _csv(
        ("system", "rows", "concurrency", *_FIGURES),
        ((name, at.rows, at.concurrency, *_figures(sample)) for (name, at), sample in found.items()),
    )


def samples_csv(samples: Samples) -> str:
    """One line for each system, point and round."""
    return _csv(
        ("system", "rows", "concurrency", "round", *_FIGURES),
        (
            (name, at.rows, at.concurrency, number, *_figures(sample))
            for (name, at), rounds in samples.items()
            for number, sample in enumerate(rounds, 1)
        ),
    )


def plot(found: Medians, titles: Mapping[str, str]) -> str:
    """Bars of requests/s of every system, a panel for each concurrency at one row a request (SVG)."""
    points = sorted(point for point in {point for _, point in found} if point.rows == 1)
    names = [name for name in titles if any((name, point) in found for point in points)]
    label, panel, step, bar = 230, 190, 24, 110
    width, height = label + panel * len(points), 60 + step * len(names)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12"><rect width="{width}" height="{height}" fill="white"/>',
        _text(10, 22, "requests/s, one row a request"),
    ]
    for row, name in enumerate(names):
        parts.append(_text(10, 66 + row * step, titles[name]))
    for column, point in enumerate(points):
        x = label + column * panel
        most = max(found[name, point].per_second for name in names if (name, point) in found) or 1.0
        parts.append(_text(x, 44, f"concurrency {point.concurrency}"))
        for row, name in enumerate(names):
            if sample := found.get((name, point)):
                long, y = bar * sample.per_second / most, 54 + row * step
                colour = "#6a4c93" if name == "sepal" else "#b8b8c8"
                parts.append(f'<rect x="{x}" y="{y}" width="{long:.1f}" height="16" fill="{colour}"/>')
                parts.append(_text(x + long + 4, y + 12, f"{sample.per_second:,.0f}"))
    return "\n".join([*parts, "</svg>\n"])


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


def _csv(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return text.getvalue()


def _figures(sample: Sample) -> tuple[object, ...]:
    return (
        round(sample.per_second, 2),
        round(sample.p50, 3),
        round(sample.p99, 3),
        sample.errors,
        round(sample.cpu_per_1000, 4),
        round(sample.rss, 1),
    )


def _times(of: float, to: float) -> str:
    return f"{_number(of / to)}{_TIMES}" if to else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
