"""Records of CSV text: those that RFC 4180 and Python's csv module find, and faults that stay alone."""

import csv
import io
import random
import time
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sepal.bulk.records import split

TEXTS = st.text(alphabet='ab,"\n\r', max_size=40).map(lambda text: text + "\n")
VALUES = st.text(alphabet='ab ,;"\n\r\té', max_size=8)


class Found(NamedTuple):
    start: int
    end: int
    n_values: int
    broken: bool


def found(text: str, *, final: bool = True) -> list[Found]:
    """The records, as `split` finds them."""
    records = split(text.encode("latin-1"), b",", final=final)
    columns = (records.starts, records.ends, records.values(), records.broken)
    return [Found(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def expected(text: str) -> list[Found]:
    """The records, found character by character."""
    records, start = [], 0
    while start < len(text):
        at, n_values, culprit = start, 1, None
        while text[at] != "\n":
            if text[at] == '"' and (at == start or text[at - 1] == ","):
                closing = _closing(text, at + 1)
                if closing is None:
                    culprit = at
                    break
                at = closing + 1
                continue
            if text[at] == '"':
                culprit = at
                break
            n_values += text[at] == ","
            at += 1
        line_break = at if culprit is None else text.index("\n", culprit)
        end = line_break - (line_break > start and text[line_break - 1] == "\r")
        records.append(Found(start, end, n_values, culprit is not None))
        start = line_break + 1
    return records


def _closing(text: str, at: int) -> int | None:
    while (at := text.find('"', at)) >= 0:
        if text[at + 1] != '"':
            return at if text[at + 1] in ",\n\r" else None
        at += 2
    return None


def without_counts_of_broken(records: list[Found]) -> list[Found]:
    """How many values a broken record has means nothing."""
    return [record._replace(n_values=0) if record.broken else record for record in records]


@settings(max_examples=600, deadline=None)
@given(TEXTS)
@example('"a""b"c,1\n2\n')
@example('a,"\n"b\n')
@example('"a\n\n"\n')
@example('""""""\n"')
def test_every_text_is_split_as_the_rules_say_character_by_character(text: str) -> None:
    text = text if text.endswith("\n") else text + "\n"
    assert without_counts_of_broken(found(text)) == without_counts_of_broken(expected(text))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=6), st.booleans())
def test_what_pythons_csv_module_writes_is_read_back_record_by_record(
    rows: list[list[str]], quote_all: bool
) -> None:
    written = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    csv.writer(written, lineterminator="\r\n", quoting=quoting).writerows(rows)
    text = written.getvalue().encode()
    records = split(text, b",")
    assert not records.broken.any()
    assert records.values().tolist() == [len(row) for row in rows]
    assert records.length == len(text)
    pieces = [text[a:b].decode() for a, b in zip(records.starts, records.ends, strict=True)]
    assert [next(csv.reader(io.StringIO(piece, newline=""))) for piece in pieces] == rows
    lines = [text[:start].count(b"\n") for start in records.starts]
    assert records.lines.tolist() == lines


@settings(max_examples=500, deadline=None)
@given(TEXTS, st.integers(0, 40))
def test_a_text_cut_anywhere_gives_the_first_records_and_leaves_the_rest(text: str, cut: int) -> None:
    first = found(text[:cut], final=False)
    assert without_counts_of_broken(first) == without_counts_of_broken(found(text)[: len(first)])


def test_many_random_texts_are_split_as_character_by_character() -> None:
    generator = random.Random(4)  # noqa: S311 (no secret)
    for _ in range(30):
        text = "".join(generator.choices('aab,,"\n\n\r', k=3000)) + "\n"
        assert without_counts_of_broken(found(text)) == without_counts_of_broken(expected(text))


@pytest.mark.parametrize("line", ['"a\n', 'x"a,1\n', '"a"b,1\n', '"a""b\n', '"a","b\nc",d"\n'])
def test_twice_as_many_broken_records_take_about_twice_as_long(line: str) -> None:
    def seconds(n_lines: int) -> float:
        text = (line * n_lines).encode()
        began = time.perf_counter()
        assert split(text, b",").broken.all()
        return time.perf_counter() - began

    few, many = (min(seconds(n_lines) for _ in range(3)) for n_lines in (500, 4_000))
    assert many < 8 * 4 * few


def test_a_stray_quote_breaks_its_own_record_alone() -> None:
    assert [r.broken for r in found('1,2\n3,4"\n5,6\n"7",8\n')] == [False, True, False, False]


def test_an_unclosed_quote_breaks_its_own_line_alone() -> None:
    assert [r.broken for r in found('1,2\n"3,4\n5,6\n7,8\n')] == [False, True, False, False]
