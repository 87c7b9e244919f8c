"""Which rows a canary answers: the share that was asked for, always the same, others in each trial."""

import subprocess
import sys

import numpy as np
import pytest

from sepal.contracts import wire
from sepal.contracts.iris import contract as iris
from sepal.contracts.ride_duration import contract as ride
from sepal.gateway.trial_key import trial_key
from sepal.model_server.split import Split
from sepal.scoring.proof import random_rows

ROWS = random_rows(iris, 100_000)


@pytest.mark.parametrize("rows", [ROWS, np.round(ROWS, 1), np.round(ROWS), random_rows(ride)])
def test_the_share_is_what_was_asked_for(rows: np.ndarray) -> None:
    rows = np.unique(rows, axis=0)
    for trial in range(3):
        assert np.mean(Split(trial, 0.05, rows.shape[1]).chosen(rows)) == pytest.approx(0.05, abs=0.005)


def test_none_and_all_are_shares_too() -> None:
    assert not Split(1, 0.0, 4).chosen(ROWS).any()
    assert Split(1, 1.0, 4).chosen(ROWS).all()


def test_a_row_is_chosen_or_not_whatever_comes_with_it() -> None:
    split = Split(7, 0.3, 4)
    chosen = split.chosen(ROWS)
    some = np.random.default_rng(0).permutation(len(ROWS))[:1000]
    assert (split.chosen(ROWS[some]) == chosen[some]).all()
    assert [bool(split.chosen(ROWS[at : at + 1])[0]) for at in some[:50]] == chosen[some[:50]].tolist()


def test_another_process_chooses_the_same_rows() -> None:
    program = (
        "from sepal.model_server.split import Split; from sepal.contracts.iris import contract;"
        "from sepal.scoring.proof import random_rows;"
        "print(Split(7, 0.3, 4).chosen(random_rows(contract, 100)).nonzero()[0].tolist())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    expected = Split(7, 0.3, 4).chosen(random_rows(iris, 100)).nonzero()[0].tolist()
    assert run.stdout.strip() == str(expected)


def test_two_trials_choose_rows_without_regard_to_each_other() -> None:
    one, other = (Split(trial, 0.5, 4).chosen(ROWS) for trial in (1, 2))
    assert np.mean(one & other) == pytest.approx(0.25, abs=0.01)


def test_a_negative_zero_is_a_zero() -> None:
    rows = np.zeros((1, 4))
    for trial in range(50):
        split = Split(trial, 0.5, 4)
        assert split.chosen(rows) == split.chosen(-rows)


def test_a_key_decides_whatever_the_row() -> None:
    split = Split(3, 0.4, 4)
    keys = np.random.default_rng(1).random(1000)
    chosen = split.chosen(ROWS[:1000], keys)
    assert np.mean(chosen) == pytest.approx(0.4, abs=0.06)
    assert (split.chosen(ROWS[1000:2000], keys) == chosen).all()
    keys[::2] = np.nan
    mixed = split.chosen(ROWS[:1000], keys)
    assert (mixed[1::2] == chosen[1::2]).all()
    assert (mixed[::2] == split.chosen(ROWS[:1000])[::2]).all()


def test_keys_of_users_are_spread_evenly() -> None:
    keys = [trial_key({"headers": [(b"x-trial-key", b"user-%d" % n)]}) for n in range(20_000)]
    assert None not in keys
    chosen = Split(1, 0.05, 4).chosen(ROWS[:20_000], np.array(keys, dtype=float))
    assert np.mean(chosen) == pytest.approx(0.05, abs=0.006)


def test_keys_beyond_those_of_users_name_the_champion_and_the_challenger() -> None:
    keys = np.array([wire.CHAMPION_KEY, wire.CHALLENGER_KEY, np.nan, 0.25] * 100)
    rows = ROWS[: len(keys)]
    for share in (0.0, 0.4, 1.0):
        split = Split(3, share, 4)
        chosen = split.chosen(rows, keys)
        assert not chosen[0::4].any()
        assert chosen[1::4].all()
        assert (chosen[2::4] == split.chosen(rows)[2::4]).all()
        assert len(set(chosen[3::4].tolist())) == 1
