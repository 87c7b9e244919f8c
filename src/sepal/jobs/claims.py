"""Numbers that were given out for jobs, and which Idempotency-Key stands for which of them."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sepal.errors import KeyReusedError
from sepal.jobs.keys import JobKeys
from sepal.jobs.records import Claim, Claimed, Identity, fingerprint

SETTLED = timedelta(hours=1)
"""After so long nobody is still about to write a job whose number is taken."""


class Claims:
    """The claims of one model's jobs; raises what the storage raises."""

    def __init__(self, keys: JobKeys) -> None:
        self._keys = keys

    def claim(self, key: str | None, sent: str, now: datetime) -> Claim:
        """A new claim, or that which this Idempotency-Key stands for; KeyReusedError if for another job."""
        if key is None:
            return Claim(identity=self._new_identity(), fingerprint=sent)
        if (found := self._keys.get(_name(fingerprint(key)), Claim)) is not None:
            return _checked(found, sent)
        claim = Claim(identity=self._new_identity(), fingerprint=sent)
        claimed = Claimed(key=fingerprint(key), at=now)
        self._keys.write_once(f"claim:{claim.identity.number}", claimed)
        if self._keys.write_once(_name(claimed.key), claim):
            return claim
        return _checked(self._keys.get(_name(claimed.key), Claim) or claim, sent)

    def has_job(self, key: str) -> bool:
        """Whether a job was taken on with this Idempotency-Key."""
        found = self._keys.get(_name(fingerprint(key)), Claim)
        return found is not None and self._keys.has(f"job:{found.identity.number}")

    def clear(self, numbers: Iterable[int], now: datetime) -> dict[int, datetime]:
        """Forget old claims at numbers without a job; those that may yet become one, claimed when.

        A key is forgotten first, and its number only later, so that nobody who has just read
        the key is still about to use it.
        """
        claims = self._keys.get_many("claim", numbers, Claimed)
        for number, claimed in claims.items():
            if claimed.at < now - SETTLED:
                self.forget(claimed.key, number)
            if claimed.at < now - 2 * SETTLED:
                self._keys.delete(f"claim:{number}")
        return {number: each.at for number, each in claims.items() if each.at >= now - 2 * SETTLED}

    def forget(self, key: str, number: int) -> None:
        """Forget an Idempotency-Key, given by its fingerprint, if it still stands for this number."""
        claim = self._keys.get(_name(key), Claim)
        if claim is not None and claim.identity.number == number:
            self._keys.delete(_name(key))

    def _new_identity(self) -> Identity:
        return Identity.new(self._keys.storage.incr("jobs"))


def _name(key: str) -> str:
    """Under which name the fingerprint of an Idempotency-Key is stored."""
    return f"key:{key}"


def _checked(claim: Claim, sent: str) -> Claim:
    if claim.fingerprint != sent:
        raise KeyReusedError("This Idempotency-Key came before with another job. Send a new key with it.")
    return claim
