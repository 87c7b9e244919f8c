"""Log lines on their way out, by a thread of their own, so that no request waits for who reads them."""

import atexit
import os
import select
import threading
from collections import deque

GATHER = 0.02
"""Seconds for which lines are gathered and then written at once: what `kill -9` may lose."""

MOST_LINES = 50_000
"""Lines that wait for a reader that has stalled; further ones are dropped and counted."""

LAST_WORDS = 2.0
"""Seconds that the end of a process may wait for a reader that has stalled."""

_WAIT = 1.0


class LineWriter:
    """Writes lines to a file descriptor, in order. `write` never blocks, whatever the reader does."""

    def __init__(self, fd: int = 1, *, gather: float = GATHER, most_lines: int = MOST_LINES) -> None:
        self.dropped = 0
        self._fd = fd
        self._gather = gather
        self._most_lines = most_lines
        self._lines: deque[str] = deque()
        self._told = False
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._written = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def write(self, line: str) -> None:
        """Take one line, with its newline."""
        if len(self._lines) >= self._most_lines:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._told:
            self._told = True
            self._wake.set()

    def flush(self, timeout: float = LAST_WORDS) -> None:
        """Write what has come so far, within so many seconds."""
        self._written.clear()
        self._hurry.set()
        self._wake.set()
        self._written.wait(timeout)

    def close(self, timeout: float = LAST_WORDS) -> None:
        """Write what is left, within so many seconds, and end."""
        atexit.unregister(self.close)
        self._closing = True
        self._hurry.set()
        self._wake.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait()
            self._wake.clear()
            hurry = self._hurry.wait(self._gather)
            self._told = False  # before the lines are taken: what comes after will wake this again
            self._write_out()
            if hurry:
                self._hurry.clear()
                self._written.set()
        self._write_out()

    def _write_out(self) -> None:
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        left = memoryview("".join(lines).encode(errors="backslashreplace"))
        try:
            while left:
                try:
                    left = left[os.write(self._fd, left) :]
                except BlockingIOError:  # who reads has it so; then it is for us to wait
                    select.select((), (self._fd,), (), _WAIT)
        except OSError:  # nobody reads any more
            self.dropped += len(lines)
