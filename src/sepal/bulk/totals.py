"""What a run adds up to, from the entries of its journal."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sepal.bulk.job import Job
from sepal.bulk.sketch import Sketch
from sepal.bulk.work import Entry
from sepal.contracts import Contract, Labels
from sepal.errors import TooManyRejectedError

_MOST_REASONS = 100


class Totals:
    """Counts over all chunks that are done."""

    def __init__(self, contract: Contract, entries: Iterable[Entry]) -> None:
        self.scored = self.rejected = 0
        self.reasons: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()
        self._quantities = Sketch()
        self._has_labels = isinstance(contract.target, Labels)
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Count one more chunk."""
        self.scored += entry.scored
        self.rejected += entry.rejected
        self.reasons.update(entry.reasons)
        if self._has_labels:
            self._labels.update(entry.summary)
        else:
            self._quantities.add(Sketch.load(dict(entry.summary)))

    @property
    def rows(self) -> int:
        """Rows read."""
        return self.scored + self.rejected

    def too_many(self, job: Job, share: float) -> bool:
        """Whether more rows are rejected than allowed, if only this share of all rows is read yet."""
        return job.too_many(self.rejected, int(self.rows / share) if share else 1 << 62)

    def check(self, job: Job, share: float, quarantine: object) -> None:
        """TooManyRejectedError naming the quarantine if `too_many` are rejected."""
        if self.too_many(job, share):
            reasons = "; ".join(f"{told}: {n:,}" for told, n in self.reasons.most_common(3))
            raise TooManyRejectedError(
                f"{self.rejected:,} of {self.rows:,} rows are rejected, more than "
                f"--max-rejected {job.max_rejected} allows ({reasons}). Nothing is published. "
                f"Look at {quarantine}."
            )

    def describe(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "rows": {"read": self.rows, "scored": self.scored, "rejected": self.rejected},
            "rejected_by_reason": dict(self.reasons.most_common(_MOST_REASONS)),
            "predictions": dict(self._labels) if self._has_labels else self._quantities.describe(),
        }
