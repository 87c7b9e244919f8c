"""Who calls: the three scopes, and what is known of a caller whose key or token was found good."""

from dataclasses import dataclass
from enum import StrEnum

from sepal.access.rates import Rate


class Scope(StrEnum):
    """What a caller may do. None has another in it."""

    predict = "predict"
    """Predictions, and what models there are."""
    bulk = "bulk"
    """Jobs of bulk scoring."""
    admin = "admin"
    """Everything that changes what is served, or watches it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller: a key's id, or `token:` and a token's subject; what it may do, and how often."""

    id: str
    scopes: frozenset[str]
    rate: Rate | None = None
