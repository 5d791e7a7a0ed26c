"""The tables between tiles and region: small, the same when read back, and refused where they are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from landseries.errors import ArtifactError
from landseries.grid import Part
from landseries_sampler.strata import AGREEING, draw
from landseries_sampler.tallies import TileTally, histograms_of, read_quotas, read_tally, share_out

YEARS = (2018, 2019, 2020)


def _tally(size: int = 512, classes: int = 8) -> TileTally:
    """Of a tile in which every class, part and stratum has more pixels than may be candidates."""
    random = np.random.default_rng(3)
    labels = random.integers(1, classes + 1, (size, size), dtype=np.uint8)
    parts = random.integers(1, 4, (size, size), dtype=np.uint8)
    histograms = {}
    for stratum in (AGREEING, *map(str, YEARS)):
        priority = random.integers(0, 2**64 - 1, (size, size), dtype=np.uint64, endpoint=True)
        histograms |= histograms_of(stratum, draw(labels, parts, priority, 2000))
    return TileTally("EPSG:32632", YEARS, {"training": 1, "validation": 2, "prediction": 3}, histograms)


def test_a_tally_is_read_back_and_takes_some_kilobytes(tmp_path: Path) -> None:
    tally = _tally()
    tally.write(tmp_path / "strata.json")
    again = read_tally(tmp_path / "strata.json")
    assert (again.crs, again.years, again.pixels) == (tally.crs, tally.years, tally.pixels)
    assert again.histograms.keys() == tally.histograms.keys()
    assert all((again.histograms[group] == tally.histograms[group]).all() for group in tally.histograms)
    assert sum(int(one.sum()) for one in again.histograms.values()) == 4 * 2 * 8 * 2000
    assert (tmp_path / "strata.json").stat().st_size < 20_000


def test_quotas_are_read_back(tmp_path: Path) -> None:
    quotas = share_out([_tally(64), _tally(64)], {Part.TRAINING: 900, Part.VALIDATION: 300})
    quotas.write(tmp_path / "quotas.json")
    assert read_quotas(tmp_path / "quotas.json") == quotas


@pytest.mark.parametrize("content", ["{", "[]", '{"strata": {"2018": {"nowhere": {"1": {}}}}}', '{"strata": {}}'])
def test_what_is_no_table_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "some.json"
    path.write_text(content)
    with pytest.raises(ArtifactError, match=r"some\.json: cannot be read as a tile's tally"):
        read_tally(path)
    with pytest.raises(ArtifactError, match=r"some\.json: cannot be read as quotas"):
        read_quotas(path)
