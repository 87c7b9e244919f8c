"""Whether the registry is as Sepal wrote it: the audit trail, the versions' records, the artefacts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sepal.errors import ArtefactError
from sepal.registry import records
from sepal.registry.aside import is_unsettled
from sepal.registry.audit import FIRST, Entry, chain_faults, entries, record_hash
from sepal.registry.lifecycle import champions_pile
from sepal.registry.registry import CHAMPION, Registry
from sepal.registry.versions import Version


@dataclass(frozen=True)
class Verification:
    """What was looked at and what is wrong, a sentence each. `head` is the newest audit row's hash."""

    rows: int
    versions: int
    head: str
    faults: Sequence[str]


def verify(registry: Registry, head: str | None = None) -> Verification:
    """Check the whole chain, and each version against it and against its artefact.

    Rows that were cut off from the end of the trail leave no gap. They are found where a
    version or champion is left without its row; or for certain by `head`, the hash of the
    newest row at an earlier time, which must still be in the trail.
    """
    if is_unsettled(registry.artefacts):
        registry.bring_up_to_date()
    trail, versions = _recorded(registry)
    faults = [*chain_faults(trail), *_record_faults(trail, versions), *_champion_faults(trail, versions)]
    if head is not None and head not in {entry.hash for entry in trail}:
        faults.append(f"No audit row has the hash {head}: rows were removed from the end, or written anew.")
    faults += _artefact_faults(registry, versions)
    return Verification(len(trail), len(versions), trail[-1].hash if trail else FIRST, faults)


def _recorded(registry: Registry) -> tuple[Sequence[Entry], Sequence[Version]]:
    """Trail and versions of one moment: others may write meanwhile."""
    if not registry.exists:
        return (), ()
    with registry.reading() as connection:
        return entries(connection), records.read(connection)


def _record_faults(trail: Sequence[Entry], versions: Sequence[Version]) -> Iterator[str]:
    registered: Mapping[str, Entry] = {
        f"{entry.model}:{entry.version}": entry for entry in trail if entry.action == "register"
    }
    pruned = {f"{entry.model}:{entry.version}" for entry in trail if entry.action == "prune"}
    for version in versions:
        if (entry := registered.get(version.tag)) is None:
            yield f"{version.tag} has no audit row: it was not registered by Sepal, or its row was removed."
        elif entry.version_sha256 not in (None, record_hash(version)):
            yield f"The record of {version.tag} is not as it was registered by {entry.title}."
    for tag in registered.keys() - pruned - {version.tag for version in versions}:
        yield f"{tag} is missing: its record was removed, and not by `sepal models prune`."


def _champion_faults(trail: Sequence[Entry], versions: Sequence[Version]) -> Iterator[str]:
    for model in sorted({entry.model for entry in trail} | {version.model for version in versions}):
        told = champions_pile(entry for entry in trail if entry.model == model)[-1:]
        found = [
            version.name for version in versions if version.model == model and CHAMPION in version.aliases
        ]
        if found != told:
            yield (
                f"The champion of {model} is {''.join(found) or 'nobody'}, and by the audit trail "
                f"{''.join(told) or 'nobody'}: it was not moved by Sepal, or its row was removed."
            )


def _artefact_faults(registry: Registry, versions: Sequence[Version]) -> Iterator[str]:
    suspects = [version for version in versions if _fault(registry, version) is not None]
    if not suspects:
        return
    if is_unsettled(registry.artefacts):
        registry.bring_up_to_date()  # which waits for a prune that is under way
    there = {version.tag for version in registry.versions()}
    for version in suspects:
        if version.tag in there and (fault := _fault(registry, version)) is not None:
            yield fault


def _fault(registry: Registry, version: Version) -> str | None:
    try:
        registry.artefacts.check(version)
    except ArtefactError as error:
        return str(error)
    return None
