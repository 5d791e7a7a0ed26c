"""Seconds of the fuzzing that `python -m tests.fuzz --minutes 10` does at length."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz.__main__ import Tally, fuzz_once
from tests.fuzz.targets import Target, targets

pytestmark = pytest.mark.xdist_group("fuzz")

NAMES = ("zip archives", "metadata", "JPEG 2000", "GeoTIFF", "STAC items")


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    named = os.environ.get("LANDSERIES_TEST_DATA")
    found = targets(tmp_path_factory.mktemp("seeds"), Path(named) if named else None)
    assert {reader.name for reader in found} == set(NAMES)
    return {reader.name: reader for reader in found}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_from_outside_does_harm(readers: dict[str, Target], name: str) -> None:
    tally = Tally()
    for seed in range(150):
        fuzz_once(readers[name], f"test-{seed}", tally)
    assert list(tally.found) == []
    assert tally.count["refused"] > 10, "cases that are never refused are not damaged"
    assert tally.count["read"] > 10, "cases that are never read do not come far"
    assert tally.slowest_s < 5


def test_what_is_found_is_told(readers: dict[str, Target]) -> None:
    def broken(content: bytes, folder: Path) -> bool:
        raise ZeroDivisionError("on purpose")

    tally = Tally()
    fuzz_once(Target("broken", readers["metadata"].make, broken), "1", tally)
    assert list(tally.found) == ["ZeroDivisionError: on purpose"]
    assert tally.count["wrong"] == 1
