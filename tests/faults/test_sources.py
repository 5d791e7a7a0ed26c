"""A small fault run over a source; `python -m tests.faults.sources --faults 500` is the large one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.sources import CONNECTIONS, Figures, trial

pytestmark = pytest.mark.integration


def test_faults_of_a_source_change_no_byte_and_the_quota_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANDSERIES_STORE_URL", raising=False)
    figures = trial(tmp_path, faults=40, products=12, per_minute=3000, seed=3)
    assert figures.failures(40) == []
    assert figures.units == 2 + 1 + 12
    assert len(figures.faults) > 6, "of many kinds"
    assert figures.at_once > 1, "workers ask side by side"


def test_what_does_not_hold_is_told() -> None:
    bad = Figures(units=1, stalled=2, differing=["x"], at_once=CONNECTIONS + 1, quota=10)
    assert len(bad.failures(1)) == 4
    assert Figures(units=1, quota=10).failures(0) == []
