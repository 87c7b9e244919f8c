"""API keys, and the file that keeps them: `sepal_<id>_<secret>`.

The file has no secret, only its SHA-256. A slow hash is for passwords, which can be guessed;
a secret of 256 random bits can't, however quickly each guess is tried.
"""

import fcntl
import hashlib
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from sepal import durable
from sepal.access.callers import Scope
from sepal.access.rates import Rate
from sepal.errors import ConfigurationError, NotFoundError, StorageError
from sepal.settings.kinds import RateText

FORM = re.compile(rb"sepal_([0-9a-f]{12})_([0-9a-f]{64})")
"""A key as it is sent: its id, which may be known, and its secret."""

LONGEST_NAME = 100
_OURS_ALONE = 0o600


class Key(BaseModel):
    """What is kept of one key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    rate: RateText | None = None
    burst: Annotated[int, Field(ge=0, le=10**9)] = 0
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    made_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None

    @property
    def limit(self) -> Rate | None:
        """Its own rate; None if it has none."""
        return Rate.parse(self.rate, self.burst) if self.rate else None

    def state(self, now: datetime) -> str:
        """Whether it is good: `good`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and now >= self.expires_at else "good"


class Keys(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    keys: tuple[Key, ...] = ()


def digest(secret: bytes) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret).digest()


def parse(content: bytes, path: Path) -> Keys:
    """The keys in a file's content. ConfigurationError naming the first fault."""
    try:
        return Keys.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ConfigurationError(f"{path} is no file of keys: {where}: {first['msg']}.") from error


def check_mode(path: Path, mode: int) -> None:
    """ConfigurationError if anybody can write a file of keys, whose mode this is."""
    if mode & stat.S_IWOTH:
        raise ConfigurationError(f"Anybody can write {path}: chmod o-w it.")


class KeyFile:
    """The file, as the commands change it: one at a time, and each change whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[Key, ...]:
        """All keys, the oldest first; none if there is no file."""
        try:
            return parse(self._path.read_bytes(), self._path).keys
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StorageError(f"{self._path} can't be read ({error.strerror}).") from error

    def create(
        self,
        name: str,
        scopes: tuple[Scope, ...],
        rate: str | None = None,
        burst: int = 0,
        lasts: timedelta | None = None,
    ) -> tuple[Key, str]:
        """Make a key; what is kept of it, and the key itself, which is kept nowhere."""
        secret, now = secrets.token_hex(32), datetime.now(UTC)
        with self._changing() as keys:
            taken = {key.id for key in keys}
            number = secrets.token_hex(6)
            while number in taken:
                number = secrets.token_hex(6)
            key = Key(
                id=number,
                name=name,
                scopes=scopes,
                rate=rate,
                burst=burst,
                sha256=digest(secret.encode()).hex(),
                made_at=now,
                expires_at=None if lasts is None else now + lasts,
            )
            keys.append(key)
        return key, f"sepal_{number}_{secret}"

    def revoke(self, number: str) -> Key:
        """Have a key let nobody in any more. NotFoundError if there is none with this id."""
        with self._changing() as keys:
            for at, key in enumerate(keys):
                if key.id == number:
                    if key.revoked_at is None:
                        keys[at] = key = key.model_copy(update={"revoked_at": datetime.now(UTC)})
                    return key
            raise NotFoundError(f"There is no key with the id {number!r}. See: sepal keys list")

    @contextmanager
    def _changing(self) -> Iterator[list[Key]]:
        path = self._path.resolve()  # others may read it by its own name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.with_name(f"{path.name}.lock").open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                keys = list(self.read())
                yield keys
                content = Keys(keys=tuple(keys)).model_dump_json(indent=1, exclude_none=True)
                durable.write(path, content.encode() + b"\n", **_as_it_is(path))
        except OSError as error:
            raise StorageError(
                f"No key is made or revoked: {path} can't be written ({error.strerror}). "
                "Make room, or run this as the file's owner or as root."
            ) from error


def _as_it_is(path: Path) -> dict[str, Any]:
    """Whose a file is and who may read it, which stays so: else a gateway could not. A new one is ours."""
    if not path.exists():
        return {"mode": _OURS_ALONE}
    status = path.stat()
    return {"mode": status.st_mode & 0o777, "owner": (status.st_uid, status.st_gid)}
