"""The small archive and its run, which many tests read: made once a session, whatever the number of test processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from landseries.filelocks import locked

from .small_run import configuration, landseries, simulate_archive, write_config


@pytest.fixture(scope="session")
def small_archive(session_folder: Path) -> Path:
    """A simulated archive of 256 by 256 pixels, two years; only to be read."""
    return _made_once(session_folder / "small-archive", simulate_archive)


@pytest.fixture(scope="session")
def small_run_done(session_folder: Path, small_archive: Path) -> Path:
    """The run `small` over it by one job, only to be read: its configuration, work folder `work`, and `output.txt`."""

    def run(folder: Path) -> None:
        config = write_config(folder, configuration(small_archive, "small"))
        said = landseries({**os.environ, "COLUMNS": "200"}, "run", config, "--workdir", folder / "work", "--jobs", 1)
        (folder / "output.txt").write_text(said)

    return _made_once(session_folder / "small-run", run)


def _made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, filled by the first test process that asks while the others wait; anew after a failure."""
    made = folder.with_name(f"{folder.name}.made")
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder
