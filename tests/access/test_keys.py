"""API keys: made, kept without their secret, verified, revoked; and what a spoilt file does."""

import hashlib
import logging
import os
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from sepal.access.callers import Caller, Scope
from sepal.access.key_ring import KeyRing
from sepal.access.keys import KeyFile
from sepal.access.rates import Rate
from sepal.errors import (
    AccessUnavailableError,
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    StorageError,
)
from tests.access.conftest import Clock

PREDICT = (Scope.predict,)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def ring(path: Path) -> KeyRing:
    """It looks at the file each time."""
    return KeyRing(path, Rate(7, 1), look=0)


def refusal(verify: Callable[[bytes], Caller], presented: bytes) -> str:
    with pytest.raises(AuthenticationError) as refused:
        verify(presented)
    return str(refused.value)


def test_a_key_lets_its_owner_in_and_the_file_can_t_be_turned_back_into_it(
    key_file: KeyFile, ring: KeyRing, path: Path
) -> None:
    key, text = key_file.create("shop", (Scope.predict, Scope.bulk), "100/s", 500)
    assert re.fullmatch(r"sepal_[0-9a-f]{12}_[0-9a-f]{64}", text)
    assert ring.verify(text.encode()) == Caller(key.id, frozenset({"predict", "bulk"}), Rate(500, 5))
    secret = text.rpartition("_")[2]
    assert secret not in path.read_text()
    assert hashlib.sha256(secret.encode()).hexdigest() in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_without_a_rate_has_the_default_and_one_with_none_has_none(
    key_file: KeyFile, ring: KeyRing
) -> None:
    _, plain = key_file.create("plain", PREDICT)
    _, free = key_file.create("free", PREDICT, "none")
    assert ring.verify(plain.encode()).rate == Rate(7, 1)
    assert ring.verify(free.encode()).rate is None


def test_a_wrong_secret_and_an_unknown_id_are_told_alike(key_file: KeyFile, ring: KeyRing) -> None:
    _, text = key_file.create("shop", PREDICT)
    number = text.split("_")[1]
    wrong_secret = f"sepal_{number}_{'0' * 64}".encode()
    unknown = f"sepal_{'0' * 12}_{text.split('_')[2]}".encode()
    said = refusal(ring.verify, wrong_secret)
    assert said == refusal(ring.verify, unknown)
    assert number not in said


@pytest.mark.parametrize(
    "change",
    [
        lambda key: b"",
        lambda key: key[:-1],
        lambda key: key + b"0",
        lambda key: key + b"\n",
        lambda key: b" " + key,
        lambda key: key.upper(),
        lambda key: key.replace(b"sepal_", b"sepal-"),
        lambda key: b"\xff\xfe" * 40,
        lambda key: b"sepal_" + b"_" * 8000,
        lambda key: key.split(b"_")[2],
    ],
)
def test_what_only_looks_like_a_key_is_refused(
    key_file: KeyFile, ring: KeyRing, change: Callable[[bytes], bytes]
) -> None:
    _, text = key_file.create("shop", PREDICT)
    assert "not known" in refusal(ring.verify, change(text.encode()))


def test_the_dummy_that_unknown_ids_are_compared_with_lets_nobody_in(
    key_file: KeyFile, ring: KeyRing, path: Path
) -> None:
    key_file.create("shop", PREDICT)
    for secret in (b"0" * 64, b"f" * 64):
        assert "not known" in refusal(ring.verify, b"sepal_" + b"0" * 12 + b"_" + secret)


def test_a_revoked_key_and_an_expired_one_are_refused_and_say_so_to_their_owner_alone(
    key_file: KeyFile, ring: KeyRing, clock: Clock
) -> None:
    key, revoked = key_file.create("shop", PREDICT)
    _, expired = key_file.create("guest", PREDICT, lasts=timedelta(hours=1))
    ring.verify(revoked.encode())
    ring.verify(expired.encode())
    first = key_file.revoke(key.id)
    assert key_file.revoke(key.id) == first, "the time of the first revocation stays"
    clock.ahead = 3601
    assert f"{key.id} is revoked" in refusal(ring.verify, revoked.encode())
    assert "is expired" in refusal(ring.verify, expired.encode())
    assert "not known" in refusal(ring.verify, revoked[:-64].encode() + b"0" * 64)


def test_a_revoked_key_lets_nobody_in_two_seconds_later(
    key_file: KeyFile, path: Path, clock: Clock
) -> None:
    key, text = key_file.create("shop", PREDICT)
    ring = KeyRing(path, None)
    ring.verify(text.encode())
    key_file.revoke(key.id)
    clock.ahead = 2
    assert f"{key.id} is revoked" in refusal(ring.verify, text.encode())


def test_revoking_a_key_that_is_not_there_says_where_to_look(key_file: KeyFile) -> None:
    with pytest.raises(NotFoundError, match=r"'abc'\. See: sepal keys list"):
        key_file.revoke("abc")


def test_keys_made_at_once_are_all_kept(key_file: KeyFile) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: key_file.create(f"k{n}", PREDICT)[0], range(40)))
    assert {key.id for key in key_file.read()} == {key.id for key in made}


def test_who_may_read_the_file_stays_as_its_owner_has_set_it(key_file: KeyFile, path: Path) -> None:
    key_file.create("shop", PREDICT)
    path.chmod(0o640)
    key_file.create("other", PREDICT)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_file_stays_its_owners_when_root_changes_it(key_file: KeyFile, path: Path) -> None:
    key, _ = key_file.create("shop", PREDICT)
    os.chown(path, 12_345, 54_321)
    key_file.revoke(key.id)
    assert (path.stat().st_uid, path.stat().st_gid) == (12_345, 54_321)


def test_a_place_that_can_t_be_written_is_told_and_nothing_is_changed(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StorageError, match=r"keys.json can't be read \(Is a directory\)"):
        KeyFile(path).read()
    path.with_name("keys.json.new").mkdir()
    path.rmdir()
    with pytest.raises(
        StorageError, match=r"No key is made or revoked: .*keys.json can't be written \(.*\)"
    ):
        KeyFile(path).create("shop", PREDICT)
    assert KeyFile(path).read() == ()


def test_a_file_that_is_reached_by_a_link_is_changed_where_it_is(path: Path) -> None:
    link = path.with_name("link.json")
    KeyFile(path).create("shop", PREDICT)
    link.symlink_to(path)
    key, _ = KeyFile(link).create("other", PREDICT)
    assert link.is_symlink()
    assert key in KeyFile(path).read()


@pytest.mark.parametrize(
    "spoilt", [b"", b"{", b"[]", b'{"version": 2}', b'{"keys": [{"id": "../.."}]}', b"\xff"]
)
def test_a_spoilt_file_leaves_the_keys_that_were_read_before_and_is_logged_once(
    key_file: KeyFile, ring: KeyRing, path: Path, caplog: pytest.LogCaptureFixture, spoilt: bytes
) -> None:
    _, text = key_file.create("shop", PREDICT)
    ring.verify(text.encode())
    good = path.read_bytes()
    path.write_bytes(spoilt)
    for _ in range(3):
        ring.verify(text.encode())
    (logged,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "those that were read before are taken" in logged.message
    with pytest.raises(ConfigurationError, match="is no file of keys"):
        key_file.create("other", PREDICT)
    assert path.read_bytes() == spoilt, "a command changes nothing that it does not understand"
    path.write_bytes(good)
    ring.verify(text.encode())


def test_a_file_that_was_never_good_lets_nobody_in(path: Path, ring: KeyRing) -> None:
    path.write_bytes(b"{")
    with pytest.raises(AccessUnavailableError):
        ring.verify(b"sepal_")


def test_a_file_that_is_gone_lets_nobody_in(key_file: KeyFile, ring: KeyRing, path: Path) -> None:
    _, text = key_file.create("shop", PREDICT)
    ring.verify(text.encode())
    path.unlink()
    assert "not known" in refusal(ring.verify, text.encode())


def test_a_file_that_anybody_can_write_is_not_believed(
    key_file: KeyFile, ring: KeyRing, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, text = key_file.create("shop", PREDICT)
    path.chmod(0o602)
    with pytest.raises(AccessUnavailableError):
        ring.verify(text.encode())
    assert "chmod o-w" in caplog.text


def test_the_hash_in_the_file_is_no_key(key_file: KeyFile, ring: KeyRing) -> None:
    key, _ = key_file.create("shop", PREDICT)
    assert "not known" in refusal(ring.verify, f"sepal_{key.id}_{key.sha256}".encode())


def test_a_wrong_first_letter_takes_as_long_as_a_wrong_last_and_as_an_unknown_id(
    key_file: KeyFile, tmp_path: Path
) -> None:
    """A coarse look. That it holds follows from hashes of one length under compare_digest."""
    _, text = key_file.create("shop", PREDICT)
    right = text.encode()
    flip = {True: b"1", False: b"0"}
    presented = {
        "first": right[:-64] + flip[right[-64:-63] == b"0"] + right[-63:],
        "last": right[:-1] + flip[right[-1:] == b"0"],
        "unknown": b"sepal_" + b"0" * 12 + right[-65:],
    }
    ring = KeyRing(tmp_path / "keys.json", None)
    times: dict[str, list[int]] = {name: [] for name in presented}
    for _ in range(3000):
        for name, value in presented.items():
            begun = time.perf_counter_ns()
            try:
                ring.verify(value)
            except AuthenticationError:
                times[name].append(time.perf_counter_ns() - begun)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    assert max(medians.values()) < 1.25 * min(medians.values()), medians


def test_a_look_at_the_file_costs_nothing_until_it_is_due(key_file: KeyFile, path: Path) -> None:
    _, text = key_file.create("shop", PREDICT)
    ring = KeyRing(path, None)
    ring.verify(text.encode())
    os.unlink(path)  # noqa: PTH108 (as another program would)
    ring.verify(text.encode())
