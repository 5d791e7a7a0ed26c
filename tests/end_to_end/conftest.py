"""One small simulated archive for all end-to-end tests, and a way to run the command line as a person does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.small_run import configuration, simulate_archive

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated archive of 256 by 256 pixels, two years."""
    return simulate_archive(tmp_path_factory.mktemp("archive"))


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
