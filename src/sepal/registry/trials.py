"""Trials of challengers: started, counted, ended; each start and end with its row in the audit trail."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from sqlalchemy import Connection, RowMapping, insert, select, text, update

from sepal.errors import RejectedError, TrialError
from sepal.registry import audit, records, tables
from sepal.registry.checked import Check, writing_checked
from sepal.registry.registry import CHAMPION, Registry, named
from sepal.registry.versions import Version

CHALLENGER = "challenger"
"""The alias of the version on trial."""

BY_ITSELF = "model-server"
"""The actor in the audit trail where no person ended a trial."""

Mode: TypeAlias = Literal["shadow", "canary"]
Counts: TypeAlias = Mapping[str, float]
"""Sums by name; `evidence` says which, and what they tell."""


@dataclass(frozen=True)
class Plan:
    """How a version is to be tried.

    `share` of the rows, from 0 to 1, is answered by a canary. It is stopped once the share
    of rows that it leaves without an answer is above `max_errors`, or its latency above
    `max_latency` times the champion's, judged after `min_rows` rows.
    """

    mode: Mode
    share: float = 0.0
    max_errors: float | None = None
    max_latency: float | None = None
    min_rows: int = 20


@dataclass(frozen=True)
class Trial:
    """A trial as the registry keeps it. Times are UTC."""

    id: int
    model: str
    version: str
    number: int
    champion: str
    champion_number: int
    plan: Plan
    started_at: datetime
    ended_at: datetime | None
    ended_why: str | None


def start(
    registry: Registry, model: str, name: str, plan: Plan, why: str, check: Check, *, force: bool = False
) -> Trial:
    """Put a version on trial beside the champion, in one transaction with the audit entry.

    Raises what `lifecycle.promote` raises for a version that could not be champion, and
    TrialError if a trial of the model runs, or it has no champion, or this is the champion.
    """

    def choose(connection: Connection) -> Version:
        version = named(records.read(connection, model), model, name)
        champion = records.aliased(connection, model, CHAMPION)
        if (other := running_of(connection, model)) is not None:
            raise TrialError(
                f"{other.version} of {model} is on trial already. End that first: "
                f"sepal models trial stop {model}"
            )
        if champion is None:
            raise TrialError(f"{model} has no champion that {version.tag} could be tried beside.")
        if champion == version:
            raise TrialError(f"{version.tag} is the champion: there is nothing to try.")
        if version.state == "rejected" and not force:
            raise RejectedError(
                f"{version.tag} was rejected by its gate: {'; '.join(version.reasons)}. "
                "Try another version, or this one all the same with --force."
            )
        return version

    with writing_checked(registry, choose, check) as (connection, version):
        champion = records.aliased(connection, model, CHAMPION)
        assert version is not None and champion is not None  # noqa: S101, PT018 (`choose` saw to it)
        row = {
            "model": model,
            "version": version.name,
            "number": version.number,
            "champion": champion.name,
            "champion_number": champion.number,
            "started_at": audit.now(),
            **vars(plan),
        }
        [trial_id] = connection.execute(insert(tables.trials).values(**row)).inserted_primary_key or [None]
        records.point(connection, CHALLENGER, version)
        action = f"trial-{plan.mode}"
        audit.append(connection, action, version, why, alias=CHALLENGER, previous_version=champion.name)
        return _one(connection, int(trial_id))


def end(
    connection: Connection, model: str, why: str, *, trial_id: int | None = None, actor: str | None = None
) -> Trial | None:
    """End the trial of a model, if one runs, and it is this one if that is said; the trial as it was.

    For the holder of the write lock.
    """
    trial = running_of(connection, model)
    if trial is None or trial_id not in (None, trial.id):
        return None
    version = records.aliased(connection, model, CHALLENGER)
    records.unpoint(connection, CHALLENGER, model)
    connection.execute(
        update(tables.trials)
        .where(tables.trials.c.id == trial.id)
        .values(ended_at=audit.now(), ended_why=why)
    )
    if version is not None:
        audit.append(connection, "trial-stop", version, why, alias=CHALLENGER, actor=actor)
    return trial


def stop(registry: Registry, model: str, why: str) -> Trial:
    """End the trial of a model; TrialError if none runs."""
    with registry.writing() as connection:
        trial = end(connection, model, why)
    if trial is None:
        raise TrialError(f"No version of {model} is on trial.")
    return trial


def stop_by_itself(registry: Registry, trial: Trial, why: str) -> None:
    """End a trial that has crossed its bounds, unless it has been ended meanwhile."""
    with registry.writing() as connection:
        end(connection, trial.model, f"stopped by itself: {why}", trial_id=trial.id, actor=BY_ITSELF)


def running(registry: Registry) -> dict[str, Trial]:
    """The trial that runs of each model, by one small query."""
    if not registry.exists:
        return {}
    with registry.reading() as connection:
        query = select(tables.trials).where(tables.trials.c.ended_at.is_(None))
        trials = [_from_row(row) for row in connection.execute(query).mappings()]
    return {trial.model: trial for trial in trials}


def latest(registry: Registry, model: str | None = None) -> list[Trial]:
    """The trial that runs, or ran last, of one model or of each."""
    if not registry.exists:
        return []
    table = tables.trials
    query = select(table).order_by(table.c.model, table.c.id)
    with registry.reading() as connection:
        found = [_from_row(row) for row in connection.execute(query).mappings()]
    return list({trial.model: trial for trial in found if model in (None, trial.model)}.values())


def add(registry: Registry, trial: Trial, counts: Counts) -> Counts:
    """Add one worker's counts to a trial's; the sums over all workers."""
    with registry.writing() as connection:
        if counts:
            connection.execute(
                text(
                    "INSERT INTO trial_counts (trial, name, value) VALUES (:trial, :name, :value) "
                    "ON CONFLICT (trial, name) DO UPDATE SET value = trial_counts.value + excluded.value"
                ),
                [{"trial": trial.id, "name": name, "value": counts[name]} for name in sorted(counts)],
            )
        return _counts(connection, trial)


def counted(registry: Registry, trial: Trial) -> Counts:
    """The sums over all workers."""
    with registry.reading() as connection:
        return _counts(connection, trial)


def running_of(connection: Connection, model: str) -> Trial | None:
    """The trial of a model that runs."""
    table = tables.trials
    query = select(table).where(table.c.model == model, table.c.ended_at.is_(None))
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _from_row(row)


def _one(connection: Connection, trial_id: int) -> Trial:
    query = select(tables.trials).where(tables.trials.c.id == trial_id)
    return _from_row(connection.execute(query).mappings().one())


def _counts(connection: Connection, trial: Trial) -> Counts:
    table = tables.trial_counts
    rows = connection.execute(select(table.c.name, table.c.value).where(table.c.trial == trial.id))
    return {row.name: row.value for row in rows}


def _from_row(row: RowMapping) -> Trial:
    values = dict(row)
    plan = Plan(**{name: values.pop(name) for name in Plan.__dataclass_fields__})
    return Trial(**values, plan=plan)
