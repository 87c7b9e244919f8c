"""What a scenario found: what was measured, and whether each bound was kept."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

_T = TypeVar("_T")


@dataclass(frozen=True)
class Form:
    """How long a scenario goes on: the full form takes minutes, the short one is for every change.

    The short one runs beside other tests, so it holds bounds of speed and memory loosely: each
    scenario says what it takes then.
    """

    short: bool
    seconds: float | None = None
    """How long each scenario's load lasts, where it is not as long as by default."""

    def lasts(self, full: float, short: float) -> float:
        """Seconds of load."""
        return self.seconds or (short if self.short else full)

    def of(self, full: _T, short: _T) -> _T:
        """One of two values."""
        return short if self.short else full


@dataclass(frozen=True)
class Check:
    """One bound, and what was found."""

    what: str
    bound: str
    found: str
    kept: bool


@dataclass
class Result:
    """What one scenario found."""

    scenario: str
    checks: list[Check] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether all bounds were kept."""
        return all(check.kept for check in self.checks)

    def at_most(self, what: str, found: float, bound: float, unit: str = "") -> None:
        """A figure that may not be larger."""
        self._check(what, f"≤ {_told(bound, unit)}", _told(found, unit), found <= bound)

    def at_least(self, what: str, found: float, bound: float, unit: str = "") -> None:
        """A figure that may not be smaller."""
        self._check(what, f"≥ {_told(bound, unit)}", _told(found, unit), found >= bound)

    def equal(self, what: str, found: object, wanted: object) -> None:
        """A value that must be the one that is wanted."""
        self._check(what, str(wanted), str(found), found == wanted)

    def none(self, what: str, found: Iterable[object]) -> None:
        """Things of which there may be none; the most frequent are shown."""
        counts = Counter(map(str, found))
        told = "; ".join(f"{count} × {thing}" for thing, count in counts.most_common(5))
        self._check(what, "none", told or "none", not counts)

    def _check(self, what: str, bound: str, found: str, kept: bool) -> None:
        self.checks.append(Check(what, bound, found, kept))


def show(results: Iterable[Result], console: Console) -> None:
    """A table of all bounds, and a line of what else was measured for each scenario."""
    table = Table("scenario", "what", "bound", "found", "")
    for result in results:
        for check in result.checks:
            verdict = "[green]kept[/]" if check.kept else "[red]MISSED[/]"
            table.add_row(result.scenario, check.what, check.bound, check.found, verdict)
        told = ", ".join(f"{name} {_short(value)}" for name, value in result.measured.items())
        table.add_row("", f"[dim]{told}[/]", end_section=True)
    console.print(table)


def as_json(results: Iterable[Result]) -> str:
    """All of it for programs."""
    return json.dumps([{**asdict(result), "kept": result.kept} for result in results], indent=1)


def _told(number: float, unit: str) -> str:
    return f"{_short(number)} {unit}".strip()


def _short(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
