"""The small run over the session's simulated archive, and a way to run the command line as a person does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.server_fixtures import session_folder
from support.shared_run import small_archive, small_run_done
from support.small_run import configuration

__all__ = ["session_folder", "small_archive", "small_run_done"]

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def archive(small_archive: Path) -> Path:
    """The simulated archive, only to be read."""
    return small_archive


@pytest.fixture(scope="session")
def small_run(archive: Path) -> dict[str, Any]:
    """A configuration over the archive whose run takes a minute, of four tiles."""
    return configuration(archive, "small")


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Run `landseries` with arguments; the output is text."""

    def call(*arguments: object, timeout_s: float = 900) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "landseries", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, "COLUMNS": "200"},
        )

    return call
