"""The life of a version after its training: it becomes champion, gives way, comes back, is removed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from sepal.errors import NoChampionError, RegistryError, RejectedError
from sepal.registry import audit, records, trials
from sepal.registry.aside import set_aside
from sepal.registry.checked import Check, writing_checked
from sepal.registry.registry import CHAMPION, Registry, named
from sepal.registry.versions import Version

_MOVES = ("promote", "force-promote", "rollback")


@dataclass(frozen=True)
class Move:
    """A model's champion before and after; the same if nothing had to be done."""

    model: str
    before: str | None
    after: str


def promote(
    registry: Registry, model: str, name: str, why: str, check: Check, *, force: bool = False
) -> Move:
    """Make a version champion that is found to answer, in one transaction with the audit entry.

    Raises NotFoundError for a version that is not there, RejectedError for one that its
    gate rejected unless `force`, and ArtefactError for one whose files were changed or that
    `check` refuses. Then nothing has happened. A trial of the model ends: it compared with
    the champion before.
    """

    def choose(connection: Connection) -> Version | None:
        version = named(records.read(connection, model), model, name)
        if CHAMPION in version.aliases:
            return None
        if version.state == "rejected" and not force:
            raise RejectedError(
                f"{version.tag} was rejected by its gate: {'; '.join(version.reasons)}. "
                "Promote another version, or this one all the same with --force."
            )
        return version

    with writing_checked(registry, choose, check) as (connection, version):
        if version is None:
            return Move(model, name, name)
        action = "force-promote" if version.state == "rejected" else "promote"
        return _move(connection, action, version, why)


def promote_judged(
    registry: Registry, version: Version, against: str | None, why: str, check: Check
) -> Move:
    """Make a version champion that passed its gate against the champion of that name, or against none.

    RegistryError if another one has become champion meanwhile.
    """

    def choose(connection: Connection) -> Version | None:
        champion = records.aliased(connection, version.model, CHAMPION)
        if champion is not None and champion.number == version.number:
            return None
        if champion is not None and champion.name != against:
            raise RegistryError(
                f"{version.tag} was not promoted: it was judged against {against or 'no champion'}, and "
                f"{champion.name} has become champion meanwhile. Compare them: "
                f"sepal models compare {version.model} {version.name}"
            )
        return named(records.read(connection, version.model), version.model, version.name)

    with writing_checked(registry, choose, check) as (connection, chosen):
        if chosen is None:
            return Move(version.model, None, version.name)
        return _move(connection, "promote", chosen, why)


def roll_back(registry: Registry, model: str, why: str, check: Check) -> Move:
    """Make the champion before this one champion again; done twice, the one before that.

    Raises NoChampionError if there was none before, ArtefactError as `promote` does.
    """

    def choose(connection: Connection) -> Version:
        earlier = earlier_champions(audit.entries(connection, model), records.read(connection, model))
        if not earlier:
            raise NoChampionError(
                f"{model} has no champion before this one to go back to. "
                f"Choose a version: sepal models promote {model} VERSION --why REASON"
            )
        return earlier[0]

    with writing_checked(registry, choose, check) as (connection, version):
        assert version is not None  # noqa: S101 (what `choose` gives)
        return _move(connection, "rollback", version, why)


def prune(registry: Registry, models: Iterable[str], keep: int, why: str) -> list[Version]:
    """Remove all but the newest versions of each model, each one's record and artefact together.

    Never one that an alias names, nor the one that a rollback would go to. Gives those removed.
    """
    removed = []
    for model in models:
        while version := _prune_one(registry, model, keep, why):
            removed.append(version)
    return removed


def earlier_champions(trail: Sequence[audit.Entry], versions: Iterable[Version]) -> list[Version]:
    """The champions before the present one that are still there, the latest first.

    A promotion puts a version on top of the pile of champions, a rollback takes from it.
    So a rollback after a rollback goes further back, and never forth again.
    """
    there = {version.name: version for version in versions}
    pile = champions_pile(trail)
    return [there[name] for name in reversed(pile[:-1]) if name in there and name != pile[-1]]


def champions_pile(trail: Iterable[audit.Entry]) -> list[str]:
    """The champions of one model that a rollback can go through, the present one last."""
    pile: list[str] = []
    for entry in trail:
        if entry.action == "rollback":
            while pile and pile[-1] != entry.version:
                pile.pop()
        if entry.action in _MOVES and pile[-1:] != [entry.version]:
            pile.append(entry.version)
    return pile


def _move(connection: Connection, action: str, version: Version, why: str) -> Move:
    before = records.aliased(connection, version.model, CHAMPION)
    name_before = before.name if before else None
    records.point(connection, CHAMPION, version)
    audit.append(connection, action, version, why, alias=CHAMPION, previous_version=name_before)
    trials.end(connection, version.model, f"{version.name} is the champion now")
    return Move(version.model, name_before, version.name)


def _prune_one(registry: Registry, model: str, keep: int, why: str) -> Version | None:
    with registry.writing() as connection:
        versions = records.read(connection, model)
        kept = versions[-keep:] + earlier_champions(audit.entries(connection, model), versions)[:1]
        for version in versions:
            if not version.aliases and version not in kept:
                set_aside(registry.artefacts, version.tag)
                audit.append(connection, "prune", version, why)
                records.remove(connection, version)
                return version
    return None
