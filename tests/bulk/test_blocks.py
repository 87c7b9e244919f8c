"""Blocks: the same records whatever their size, found again at every boundary, in bounded memory."""

import gzip
import random
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from sepal.bulk.blocks import Block, BlockReader
from sepal.bulk.files import InputFile, Text, find
from sepal.bulk.records import split
from sepal.bulk.rows import Position
from sepal.errors import DataError, ResumeError

START = Position(0, 1)


def file_of(path: Path, text: bytes) -> InputFile:
    path.write_bytes(text)
    return find(str(path))[0]


def reader(file: InputFile, size: int, encoding: str | None = None) -> BlockReader:
    return BlockReader(file, encoding, size, lambda text: split(text, b",", final=False).length)


def blocks_of(file: InputFile, size: int, encoding: str | None = None) -> list[Block]:
    return list(reader(file, size, encoding).blocks(START))


def records_of(blocks: list[Block]) -> list[tuple[int, bytes]]:
    """Each record with its line."""
    found = []
    for block in blocks:
        records = split(block.data, b",")
        for start, end, line in zip(records.starts, records.ends, records.lines, strict=True):
            found.append((int(line) + block.line, block.data[start:end]))
    return found


def random_text(n_records: int, seed: int = 1) -> bytes:
    """Records of a few bytes, some quoted, some over several lines."""
    generator = random.Random(seed)  # noqa: S311 (no secret)
    values = ["1", "22", "", '"a,b"', '"x\ny"', '""', '"""q"""', "é"]
    lines = (",".join(generator.choices(values, k=3)) for _ in range(n_records))
    return "\n".join(lines).encode() + b"\n"


@pytest.mark.parametrize("size", [40, 41, 64, 100, 1000, 1 << 20])
def test_blocks_of_any_size_hold_the_same_records(tmp_path: Path, size: int) -> None:
    text = random_text(300)
    blocks = blocks_of(file_of(tmp_path / "a.csv", text), size)
    assert b"".join(block.data for block in blocks) == text
    assert records_of(blocks) == records_of([Block(text, 1, START)])
    assert all(len(block.data) <= size for block in blocks)
    assert not [row for block in blocks for row in block.rejected]


@pytest.mark.parametrize("size", [40, 100, 333])
@pytest.mark.parametrize("encoding", [None, "utf-16", "latin-1"])
def test_reading_goes_on_alike_at_every_boundary(tmp_path: Path, size: int, encoding: str | None) -> None:
    text = random_text(120)
    file = file_of(tmp_path / "a.csv", text.decode().encode(encoding or "utf-8"))
    whole, places = reader(file, size, encoding), []
    blocks = []
    for block in whole.blocks(START):
        blocks.append(block)
        places.append(whole.done())
    assert len(blocks) > 3
    for at, done in enumerate(places):
        again = reader(file, size, encoding)
        assert list(again.blocks(*done)) == blocks[at + 1 :]
        assert again.done() == places[-1] or at == len(places) - 1


def test_reading_goes_on_alike_after_lines_that_are_too_long(tmp_path: Path) -> None:
    long, unclosed = b"x" * 150 + b"\n", b'"open,2\n'
    text = (
        b"1,2\n" * 5 + long + b"3,4\n" * 90 + unclosed + b"5,6\n" * 90 + long + long + b"7,8\n" + long[:-1]
    )
    file = file_of(tmp_path / "a.csv", text)
    whole, places, blocks = reader(file, 100), [], []
    for block in whole.blocks(START):
        blocks.append(block)
        places.append(whole.done())
    for at, done in enumerate(places):
        assert list(reader(file, 100).blocks(*done)) == blocks[at + 1 :]
    rejected = [(row.line, row.reason) for block in blocks for row in block.rejected]
    too_long = "longer than 100 bytes, the longest that is read"
    assert rejected == [
        (6, too_long),
        (97, "a quote is opened and not closed within 100 bytes"),
        (188, too_long),
        (189, too_long),
        (191, too_long),
    ]
    lines = [line for line, _ in records_of(blocks)]
    assert lines == [*range(1, 6), *range(7, 97), *range(98, 188), 190]


@pytest.mark.parametrize("length", [99, 100, 101, 250])
def test_the_longest_line_that_is_read_is_as_long_as_a_block(tmp_path: Path, length: int) -> None:
    text = b"1,2\n" + b"x" * (length - 1) + b"\n" + b"3,4\n" * 60
    blocks = blocks_of(file_of(tmp_path / "a.csv", text), 100)
    assert len(records_of(blocks)) == 61 + (length <= 100)
    assert [row.line for block in blocks for row in block.rejected] == ([] if length <= 100 else [2])


def test_the_values_of_a_line_that_is_too_long_are_told_by_their_beginning(tmp_path: Path) -> None:
    text = b"1,2\n" + b"y" * 100_000 + b"\n3,4\n"
    (row,) = [row for block in blocks_of(file_of(tmp_path / "a.csv", text), 9000) for row in block.rejected]
    assert row.values == "y" * 4096


def test_a_last_line_without_a_line_break_is_a_record(tmp_path: Path) -> None:
    for text in (b"1,2\n3,4", b"1,2\r\n3,4", b"1,2\n3,4\n"):
        blocks = blocks_of(file_of(tmp_path / "a.csv", text), 100)
        assert [record for _, record in records_of(blocks)] == [b"1,2", b"3,4"]


def test_an_empty_file_has_no_blocks(tmp_path: Path) -> None:
    assert blocks_of(file_of(tmp_path / "a.csv", b""), 100) == []


def test_a_changed_text_is_refused(tmp_path: Path) -> None:
    text = random_text(100)
    file = file_of(tmp_path / "a.csv", text)
    whole = reader(file, 100)
    next(blocks := whole.blocks(START))
    done = whole.done()
    blocks.close()
    changed = file_of(tmp_path / "a.csv", b"9" + text[1:])
    with pytest.raises(ResumeError, match=r"a\.csv has changed since the run began\. .*--restart"):
        next(reader(changed, 100).blocks(*done))
    with pytest.raises(ResumeError, match=r"a\.csv is shorter than it was"):
        next(reader(file_of(tmp_path / "a.csv", text[:20]), 100).blocks(Position(50, 2), "0" * 64))


@pytest.mark.parametrize(
    ("encoding", "told"),
    [("utf-8-sig", None), ("utf-16", None), ("utf-32", None), ("utf-16-be", "utf-16-be")],
)
def test_text_is_decoded_and_its_byte_order_mark_left_out(
    tmp_path: Path, encoding: str, told: str | None
) -> None:
    text = "a,é\n1,☃\n" * 50
    file = file_of(tmp_path / "a.csv", text.encode(encoding))
    for size in (1, 7, 64, 10_000):
        opened, pieces = Text(file, told), []
        while piece := opened.read(size):
            pieces.append(piece)
        assert b"".join(pieces).decode() == text
        assert all(len(piece) == size for piece in pieces[:-1])
        opened.close()


def test_a_byte_order_mark_is_left_out_of_text_whose_byte_order_is_told_too(tmp_path: Path) -> None:
    file = file_of(tmp_path / "a.csv", b"\xff\xfe" + "a,b\n".encode("utf-16-le"))
    with closing(Text(file, "utf-16-le")) as text:
        assert text.read(100) == b"a,b\n"


def test_what_can_not_be_decoded_is_no_text_and_its_neighbours_are(tmp_path: Path) -> None:
    file = file_of(tmp_path / "a.csv", b"a,b\n\x81,2\n3,4\n")
    with closing(Text(file, "cp1252")) as text:
        assert text.read(100) == b"a,b\n\xff,2\n3,4\n"


def test_files_compressed_in_several_pieces_are_read_to_their_end(tmp_path: Path) -> None:
    text = random_text(1000)
    pieces = [text[:100], text[100:5000], text[5000:]]
    gzipped = b"".join(gzip.compress(piece) for piece in pieces)
    zstd = b"".join(pa.compress(piece, codec="zstd", asbytes=True) for piece in pieces)
    for name, content in (("a.csv.gz", gzipped), ("a.csv.zst", zstd)):
        blocks = blocks_of(file_of(tmp_path / name, content), 1000)
        assert b"".join(block.data for block in blocks) == text


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.zst"])
def test_a_compressed_file_that_is_cut_off_or_is_none_is_told(tmp_path: Path, name: str) -> None:
    text = random_text(5000)
    whole = gzip.compress(text) if name.endswith("gz") else pa.compress(text, codec="zstd", asbytes=True)
    for content in (whole[: len(whole) // 2], text):
        with pytest.raises(DataError, match=f"{name} can't be read to its end"):
            blocks_of(file_of(tmp_path / name, content), 1000)


def test_a_checkpoint_tells_the_texts_digest_and_not_that_of_its_compressed_form(tmp_path: Path) -> None:
    text = random_text(200)
    plain = reader(file_of(tmp_path / "a.csv", text), 500)
    list(plain.blocks(START))
    packed = reader(file_of(tmp_path / "b.csv.gz", gzip.compress(text)), 500)
    list(packed.blocks(START))
    assert plain.done() == packed.done()
    assert plain.done().end == Position(len(text), text.count(b"\n") + 1)
