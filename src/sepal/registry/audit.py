"""The audit trail: who did what, when and why, each row sealed by a hash that the next one holds."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from sepal.registry import tables
from sepal.registry.versions import Version
from sepal.user import user_name

FIRST = "0" * 64
"""What the first row holds in the place of the hash before."""

_SEALED = (
    *("id", "at", "actor", "action", "model", "version", "alias", "previous_version", "why"),
    *("version_sha256", "previous_hash"),
)
"""What a row's hash is of. Rows were sealed so: to take in more, seal later rows in another way."""

_RECORD = (
    *("model", "number", "algorithm", "created_at", "contract_signature", "artefact_sha256", "libraries"),
    *(
        "metrics",
        "details",
        "data_source",
        "data_fingerprint",
        "train_rows",
        "test_rows",
        "state",
        "reasons",
    ),
)
"""What the hash of a version's record is of; the same holds for it."""


@dataclass(frozen=True)
class Entry:
    """One row of the trail. `at` is UTC."""

    id: int
    at: datetime
    actor: str
    action: str
    model: str
    version: str
    alias: str | None
    previous_version: str | None
    why: str
    version_sha256: str | None
    previous_hash: str
    hash: str

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        return f"audit row {self.id} ({self.action} {self.model} {self.version})"


def now() -> datetime:
    """The time, UTC, as the tables have it."""
    return datetime.now(UTC).replace(tzinfo=None)


def append(
    connection: Connection,
    action: str,
    version: Version,
    why: str,
    *,
    alias: str | None = None,
    previous_version: str | None = None,
    actor: str | None = None,
) -> None:
    """Add a row at the end of the chain. For the holder of the registry's write lock.

    The actor is the user who runs this, unless it is said that it was no person.
    """
    newest = select(tables.audit.c.id, tables.audit.c.hash).order_by(tables.audit.c.id.desc()).limit(1)
    last = connection.execute(newest).one_or_none()
    row = {
        "id": last.id + 1 if last else 1,
        "at": now(),
        "actor": actor or user_name(),
        "action": action,
        "model": version.model,
        "version": version.name,
        "alias": alias,
        "previous_version": previous_version,
        "why": why,
        "version_sha256": record_hash(version),
        "previous_hash": last.hash if last else FIRST,
    }
    connection.execute(insert(tables.audit).values(**row, hash=_seal(row)))


def entries(connection: Connection, model: str | None = None) -> list[Entry]:
    """The trail of one model or of all, oldest first."""
    query = select(tables.audit).order_by(tables.audit.c.id)
    if model is not None:
        query = query.where(tables.audit.c.model == model)
    return [Entry(**row) for row in connection.execute(query).mappings()]


def chain(connection: Connection) -> None:
    """Seal rows that were written before rows were sealed. For the migration that came with sealing."""
    columns = [name for name in _SEALED if name not in ("version_sha256", "previous_hash")]
    query = select(*(tables.audit.c[name] for name in columns)).order_by(tables.audit.c.id)
    previous = FIRST
    for number, old in enumerate(connection.execute(query).mappings().all(), start=1):
        row = {**old, "id": number, "version_sha256": None, "previous_hash": previous}
        previous = _seal(row)
        connection.execute(
            update(tables.audit).where(tables.audit.c.id == old["id"]).values(**row, hash=previous)
        )


def chain_faults(trail: Sequence[Entry]) -> Iterator[str]:
    """Each row of a whole trail that was changed or added, and each gap where rows were removed."""
    id_before, hash_before = 0, FIRST
    for entry in trail:
        missing = range(id_before + 1, entry.id)
        if missing:
            rows = (
                f"row {missing[0]} is" if len(missing) == 1 else f"rows {missing[0]} to {missing[-1]} are"
            )
            yield f"Audit {rows} missing: removed from before {entry.title}."
        if entry.hash != _seal(vars(entry)):
            yield f"{_capital(entry.title)} is not as it was written: changed since, or added by hand."
        elif entry.previous_hash != hash_before and not missing:
            yield f"{_capital(entry.title)} does not follow the row before it, which was written anew."
        id_before, hash_before = entry.id, entry.hash


def record_hash(version: Version) -> str:
    """SHA-256 of all that is recorded of a version, its artefact's checksum and metrics included."""
    return _hash({name: getattr(version, name) for name in _RECORD})


def _seal(row: Mapping[str, Any] | RowMapping) -> str:
    return _hash({name: row[name] for name in _SEALED})


def _hash(content: Mapping[str, Any]) -> str:
    """SHA-256 of the content as JSON: keys in order, no blanks, times in ISO 8601."""
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), default=lambda value: value.isoformat()
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _capital(title: str) -> str:
    return title[0].upper() + title[1:]
