"""A made-up finished run, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.finished_run import FinishedRun, finished_run


@pytest.fixture
def run(tmp_path: Path) -> FinishedRun:
    return finished_run(tmp_path)
