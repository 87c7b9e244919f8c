"""The journal of a run, held against the files that it tells of."""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO, Any, TypeAlias

from sepal.bulk.outputs import OUTPUT, Output
from sepal.durable import flush

Lines: TypeAlias = Sequence[tuple[bytes, Mapping[str, Any]]]
"""Lines of a journal as they are in the file, and what each says."""


@dataclass
class Part:
    """A file that grows: its length, the hash of its bytes, and its row groups' footers and offsets."""

    path: Path
    length: int = 0
    hash: Any = field(default_factory=hashlib.sha256)
    groups: list[tuple[bytes, int]] = field(default_factory=list)

    def append(self, data: bytes, footer: bytes = b"") -> None:
        """Write to the file's end, durably; the bytes are hashed while the disk takes them."""
        if footer:
            self.groups.append((footer, self.length))
        hashing = Thread(target=self.hash.update, args=(data,))
        hashing.start()
        try:
            with self.path.open("ab") as file:
                file.write(data)
                flush(file)
        finally:
            hashing.join()
        self.length += len(data)


def read_journal(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Its lines up to the first that is not whole."""
    if not path.exists():
        return
    with path.open("rb") as journal:
        for line in journal:
            try:
                read = json.loads(line)
            except ValueError:
                return
            if not line.endswith(b"\n"):
                return
            yield line, read


def sound_lines(folder: Path, lines: Lines) -> int:
    """How many lines of the journal the files bear out."""
    sound = len(lines)
    for path in {path for _, done in lines for path in done["parts"]}:
        whole = folder / path
        if not whole.exists():
            whole.parent.mkdir(parents=True, exist_ok=True)
            whole.touch()
        digest, at = hashlib.sha256(), 0
        with whole.open("rb") as file:
            for number, (_, done) in enumerate(lines):
                if path not in done["parts"]:
                    continue
                length, expected, _ = done["parts"][path]
                for data in _pieces(file, length - at):
                    digest.update(data)
                at = length
                if digest.hexdigest() != expected:
                    sound = min(sound, number)
                    break
    return sound


def cut_parts(folder: Path, output: Output, files: Iterable[Path], lines: Lines) -> dict[str, Part]:
    """Cut every file to the length that the last line gives it, and remove those that none names."""
    grown: dict[str, list[tuple[int, str]]] = {}
    parts: dict[str, Part] = {}
    for _, done in lines:
        for path, (length, _, footer) in done["parts"].items():
            grown.setdefault(path, []).append((length, footer))
    for file in files:
        if str(file.relative_to(folder)) not in grown:
            file.unlink()
    for path, lengths in grown.items():
        part = parts[path] = Part(folder / path, length=lengths[-1][0])
        begin = len(output.start()) if path.startswith(OUTPUT) else 0
        with part.path.open("r+b") as opened:
            opened.truncate(part.length)
            for data in _pieces(opened, part.length):
                part.hash.update(data)
        offsets = [begin, *(length for length, _ in lengths)]
        part.groups = [
            (base64.b64decode(footer), offset)
            for offset, (_, footer) in zip(offsets, lengths, strict=False)
            if footer
        ]
    return parts


def _pieces(file: IO[bytes], length: int) -> Iterator[bytes]:
    while length > 0 and (data := file.read(min(length, 1 << 20))):
        yield data
        length -= len(data)
