"""The API keys as a gateway knows them: looked up in memory, and in the file when that has changed."""

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import compare_digest
from pathlib import Path

from sepal.access.callers import Caller
from sepal.access.keys import FORM, Key, check_mode, digest, parse
from sepal.access.rates import Rate
from sepal.errors import AccessUnavailableError, AuthenticationError, ConfigurationError

logger = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds between two looks at the file: a key that is revoked lets nobody in after them."""

_UNKNOWN = "The API key is not known. Send one that is listed by sepal keys list."


@dataclass(frozen=True, slots=True)
class _Entry:
    key: Key | None
    caller: Caller
    sha256: bytes
    ends: float


_NOBODY = _Entry(None, Caller("", frozenset()), bytes(32), float("inf"))
"""What an unknown id is compared with, so that it takes as long as one that is known."""


class KeyRing:
    """The keys of a file. What can't be read leaves those that were read last, and is logged."""

    def __init__(self, path: Path, default_rate: Rate | None, look: float = LOOK) -> None:
        self._path = path
        self._default_rate = default_rate
        self._look_every = look
        self._entries: dict[bytes, _Entry] | None = None
        self._seen: object = None
        self._fault = ""
        self._next_look = float("-inf")

    def verify(self, presented: bytes) -> Caller:
        """Whose key this is. AuthenticationError if nobody's; AccessUnavailableError without keys."""
        if time.monotonic() >= self._next_look:
            self._look()
        if self._entries is None:
            raise AccessUnavailableError("The API keys can't be read just now. Try again shortly.")
        found = FORM.fullmatch(presented)
        if found is None:
            raise AuthenticationError(_UNKNOWN)
        entry = self._entries.get(found[1], _NOBODY)
        same = compare_digest(digest(found[2]), entry.sha256)
        if not same or entry.key is None:
            raise AuthenticationError(_UNKNOWN)
        if time.time() >= entry.ends:
            state = entry.key.state(datetime.now(UTC))
            raise AuthenticationError(f"The API key {entry.key.id} is {state}. Ask for another.")
        return entry.caller

    def _look(self) -> None:
        self._next_look = time.monotonic() + self._look_every
        try:
            status = self._path.stat()
            seen = status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode
            if seen == self._seen:
                return
            check_mode(self._path, status.st_mode)
            keys = parse(self._path.read_bytes(), self._path).keys
        except FileNotFoundError:
            self._seen, self._entries = None, {}
            self._tell(f"There is no file {self._path}: no API key is taken.")
        except (OSError, ConfigurationError) as error:
            kept = "none is taken" if self._entries is None else "those that were read before are taken"
            self._tell(f"The API keys can't be read, {kept}: {error}")
        else:
            self._seen, self._fault = seen, ""
            self._entries = {key.id.encode(): self._entry(key) for key in keys}

    def _tell(self, fault: str) -> None:
        if fault != self._fault:
            logger.error(fault)
        self._fault = fault

    def _entry(self, key: Key) -> _Entry:
        ends = float("inf") if key.expires_at is None else key.expires_at.timestamp()
        return _Entry(
            key,
            Caller(key.id, frozenset(key.scopes), self._default_rate if key.rate is None else key.limit),
            bytes.fromhex(key.sha256),
            float("-inf") if key.revoked_at is not None else ends,
        )
