"""Lines on their way out: in order, flushed at the end, and never waited for."""

import os
import subprocess
import sys
import time
from pathlib import Path

from sepal.telemetry.writer import LineWriter
from tests.waiting import LONG, comes


def test_lines_of_many_come_out_in_order_and_all_of_them_at_the_end(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        writer = LineWriter(log.fileno())
        for number in range(10_000):
            writer.write(f"{number}\n")
        writer.close()
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(10_000)]
    assert writer.dropped == 0


def test_a_line_comes_out_by_itself_within_a_moment(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        writer = LineWriter(log.fileno())
        for said in ("first\n", "first\nsecond\n"):
            writer.write(said.splitlines(keepends=True)[-1])
            assert comes(lambda said=said: (tmp_path / "log").read_text() == said)  # type: ignore[misc]
        writer.close()


def test_nobody_waits_for_a_reader_that_has_stalled_and_what_is_dropped_is_counted() -> None:
    reading, writing = os.pipe()
    writer = LineWriter(writing, most_lines=1000)
    began = time.monotonic()
    for _ in range(20_000):
        writer.write("x" * 1000 + "\n")
    assert time.monotonic() - began < 2
    assert writer.dropped > 0
    writer.close(timeout=0.1)
    assert time.monotonic() - began < 3
    os.close(reading)
    writer.close(timeout=LONG)  # its thread has ended before the number of its file is another's
    os.close(writing)


def test_nothing_is_raised_when_the_reader_has_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LineWriter(writing)
    writer.write("lost\n")
    writer.close()
    os.close(writing)
    assert writer.dropped == 1


def test_the_end_of_a_process_writes_what_is_left() -> None:
    program = "from sepal.telemetry.writer import LineWriter\nLineWriter(gather=60).write('last words\\n')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=LONG)
    assert ended.stdout == b"last words\n"


def test_what_has_come_can_be_written_at_once(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        writer = LineWriter(log.fileno(), gather=60)
        for said in ("first\n", "second\n"):
            writer.write(said)
            writer.flush()
            assert (tmp_path / "log").read_text().endswith(said)
        writer.close()


def test_a_pipe_that_does_not_block_loses_no_line() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    lines = [f"{number:0100d}\n" for number in range(3000)]  # several times what a pipe holds
    writer = LineWriter(writing)
    for line in lines:
        writer.write(line)
    read = b""
    while len(read) < sum(map(len, lines)):
        time.sleep(0.001)
        read += os.read(reading, 4096)
    writer.close()
    assert read.decode() == "".join(lines)
    assert writer.dropped == 0
    os.close(reading)
    os.close(writing)


def test_after_a_line_that_was_torn_since_the_disk_was_full_the_next_begins_a_new_one(
    tmp_path: Path,
) -> None:
    program = """
import resource, sys
from sepal.telemetry.writer import LineWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
writer = LineWriter()
for line in ("first and torn\\n", "lost\\n"):
    writer.write(line)
    writer.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
writer.write("second\\n")
writer.flush()
writer.write("third\\n")
sys.exit(writer.dropped)
"""
    with (tmp_path / "log").open("wb") as log:
        ended = subprocess.run([sys.executable, "-c", program], stdout=log, check=False, timeout=LONG)
    assert (tmp_path / "log").read_text() == "first and \nsecond\nthird\n"
    assert ended.returncode == 2
