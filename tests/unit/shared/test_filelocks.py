"""Locks between processes: one holder, or many that share, and none once a holder is dead."""

import fcntl
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from landseries.filelocks import locked, try_lock


@pytest.mark.parametrize(
    ("held", "wanted", "is_free"),
    [
        (fcntl.LOCK_EX, fcntl.LOCK_EX, False),
        (fcntl.LOCK_EX, fcntl.LOCK_SH, False),
        (fcntl.LOCK_SH, fcntl.LOCK_EX, False),
        (fcntl.LOCK_SH, fcntl.LOCK_SH, True),
    ],
)
def test_who_may_hold_a_lock_at_the_same_time(tmp_path: Path, held: int, wanted: int, is_free: bool) -> None:
    with locked(tmp_path / "lock", held), (tmp_path / "lock").open("ab") as file:
        assert try_lock(file, wanted) == is_free
    with (tmp_path / "lock").open("ab") as file:
        assert try_lock(file.fileno(), wanted)


def _hold_and_die(path: Path) -> None:
    with locked(path):
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_dead_hold_nothing(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_hold_and_die, args=(tmp_path / "lock",))
    process.start()
    process.join()
    with (tmp_path / "lock").open("ab") as file:
        assert try_lock(file)
