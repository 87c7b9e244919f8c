"""The work folder of a run: what is done is durable there, and nobody sees it before it is whole.

A chunk's bytes are appended to the files of the folder and flushed to the disk. Then one
line in the journal says how long each file is now and what its bytes hash to; only with
that line, flushed too, is the chunk done. A run that is resumed cuts off what no line
speaks of, checks the rest, and goes on. Publishing is a rename.
"""

import base64
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from sepal.bulk.journal import Part, cut_parts, read_journal, sound_lines
from sepal.bulk.locking import LOCK, locked, no_space
from sepal.bulk.outputs import OUTPUT, REJECTED, Output, Segment
from sepal.bulk.places import beside
from sepal.bulk.rows import Done, Position
from sepal.durable import flush, flush_folder, write
from sepal.errors import ResumeError

_PLAN, _JOURNAL, _MANIFEST = "plan.json", "journal.jsonl", "manifest.json"


@dataclass(frozen=True)
class Entry:
    """One chunk that is done: of which file, up to where, and what came of it.

    `summary` counts labels, or is a dumped sketch of quantities.
    """

    file: int
    done: Done
    scored: int
    rejected: int
    reasons: Mapping[str, int]
    summary: Mapping[str, Any]


class WorkFolder:
    """An open work folder; `entries` are the chunks that are done."""

    def __init__(self, folder: Path, output: Output) -> None:
        self.folder, self._output = folder, output
        self.entries: list[Entry] = []
        self._parts: dict[str, Part] = {}
        self._journal: IO[bytes] | None = None

    @classmethod
    @contextmanager
    def open(
        cls, folder: Path, output: Output, plan: Mapping[str, Any], *, restart: bool = False
    ) -> Iterator["WorkFolder"]:
        """Open the folder, made if it is not there, for this run alone.

        Raises OutputBusyError if another run has it, ResumeError naming what differs if
        it was begun with another plan.
        """
        with no_space(folder), locked(folder):
            shutil.rmtree(_done(folder), ignore_errors=True)
            if restart:
                _empty(folder)
            work = cls(folder, output)
            work._check_plan(plan)
            work._resume()
            try:
                yield work
            finally:
                work._close()

    def commit(self, entry: Entry, segments: Iterable[Segment]) -> None:
        """Make a chunk durable, then record it as done."""
        touched = {}
        for segment in segments:
            part = self._part(segment.path)
            part.append(segment.data, segment.footer)
            touched[segment.path] = [
                part.length,
                part.hash.hexdigest(),
                base64.b64encode(segment.footer).decode(),
            ]
        assert self._journal is not None  # noqa: S101 (open from _resume to _close)
        self._journal.write(json.dumps({**asdict(entry), "parts": touched}).encode() + b"\n")
        flush(self._journal)
        self.entries.append(entry)

    def has(self, path: str) -> bool:
        """Whether anything was written to a file of the folder."""
        return path in self._parts

    def finish(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """End every file, and keep the manifest, completed by their lengths and hashes."""
        files = {}
        for path, part in self._parts.items():
            if path.startswith(OUTPUT):
                part.append(self._output.end(part.groups))
            files[path] = {"bytes": part.length, "sha256": part.hash.hexdigest()}
        if self._output.partition_by:
            (self.folder / OUTPUT).mkdir(exist_ok=True)  # of no rows, an empty folder
        complete = {**manifest, "files": files}
        write(self.folder / _MANIFEST, json.dumps(complete, indent=2).encode() + b"\n")
        return complete

    @staticmethod
    def begun(folder: Path) -> dict[str, Any]:
        """The plan of an unfinished run; empty if there is none."""
        try:
            plan: dict[str, Any] = json.loads((folder / _PLAN).read_bytes())
        except OSError:
            return {}
        return plan

    @property
    def finished(self) -> dict[str, Any] | None:
        """The manifest of a run that is done but for its publishing."""
        path = self.folder / _MANIFEST
        found: dict[str, Any] | None = json.loads(path.read_bytes()) if path.exists() else None
        return found

    def publish(self, output: Path) -> None:
        """Put the output in its place by one rename, after its quarantine and manifest beside it.

        Once more does no harm, wherever it was interrupted.
        """
        self._close()
        rejected, manifest = beside(output, "rejected.csv"), beside(output, "manifest.json")
        if (self.folder / REJECTED).exists():
            (self.folder / REJECTED).replace(rejected)
        elif self.finished and REJECTED not in self.finished["files"]:
            rejected.unlink(missing_ok=True)
        made = self.folder / OUTPUT
        if made.exists():
            copied = self.folder / "manifest.copy"
            write(copied, (self.folder / _MANIFEST).read_bytes())
            copied.replace(manifest)
            if made.is_dir() or output.is_dir():
                _set_aside(output, self.folder / "replaced")
            made.replace(output)
        flush_folder(output.parent)

    def remove(self) -> None:
        """Remove the folder of a run whose output is published, in one step for all who look."""
        self._close()
        done = _done(self.folder)
        shutil.rmtree(done, ignore_errors=True)
        self.folder.rename(done)
        shutil.rmtree(done, ignore_errors=True)

    def _part(self, path: str) -> Part:
        if (part := self._parts.get(path)) is None:
            whole = self.folder / path
            whole.parent.mkdir(parents=True, exist_ok=True)
            part = self._parts[path] = Part(whole)
            if path.startswith(OUTPUT):
                part.append(self._output.start())
            flush_folder(whole.parent)
        return part

    def _check_plan(self, plan: Mapping[str, Any]) -> None:
        path = self.folder / _PLAN
        if not path.exists():
            write(path, json.dumps(plan).encode())
            return
        begun, plan = json.loads(path.read_bytes()), json.loads(json.dumps(plan))
        if differing := [name for name in plan if begun.get(name) != plan[name]]:
            told = "; ".join(f"{name}{_difference(begun.get(name), plan[name])}" for name in differing)
            raise ResumeError(
                f"An unfinished run in {self.folder} was begun otherwise: {told}. "
                "Give the same again to resume it, or begin anew with --restart."
            )

    def _resume(self) -> None:
        """Take up what the journal says is done, as far as the files hold it; drop the rest."""
        path = self.folder / _JOURNAL
        lines = list(read_journal(path))
        if self.finished is None:
            lines = lines[: sound_lines(self.folder, lines)]
            self._parts = cut_parts(self.folder, self._output, self._files(), lines)
            with path.open("ab") as journal:
                journal.truncate(sum(len(line) for line, _ in lines))
            self._journal = path.open("ab")
            flush_folder(self.folder)
        for _, done in lines:
            entry = {name: value for name, value in done.items() if name != "parts"}
            end, digest = entry["done"]
            self.entries.append(Entry(**{**entry, "done": Done(Position(*end), digest)}))

    def _files(self) -> list[Path]:
        made = self.folder / OUTPUT
        found = [path for path in made.rglob("*") if path.is_file()] if made.is_dir() else [made]
        return [path for path in (*found, self.folder / REJECTED) if path.is_file()]

    def _close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None


def _empty(folder: Path) -> None:
    for name in (_MANIFEST, _JOURNAL):  # first what speaks of the others
        (folder / name).unlink(missing_ok=True)
    flush_folder(folder)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _done(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.done")


def _difference(was: Any, now: Any) -> str:  # noqa: ANN401 (JSON)
    """In words, the first place where two values differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        name = next(name for name in {**was, **now} if was.get(name) != now.get(name))
        return f" of {now.get('path', '')}: {name}{_difference(was.get(name), now.get(name))}"
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        return next(_difference(*pair) for pair in zip(was, now, strict=True) if pair[0] != pair[1])
    if isinstance(was, list) and isinstance(now, list):
        return f" were {len(was):,}, are {len(now):,}"
    return f" was {was!r}, is {now!r}"


def _set_aside(output: Path, place: Path) -> None:
    """Make room for a folder, which a rename does not replace."""
    if output.exists():
        output.replace(place)
