"""Reliable samples on a simulated scene whose truth is known, by both methods; on a seed that nothing was tuned on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from support.mapped_region import Layers, MappedRegion
from support.simulated_year import SimulatedYear, simulated_year

from landseries.bands import BANDS

pytestmark = pytest.mark.science

SEED = 204
SIZE_PX = 512
#: Verdict of pixels that may be learnt from.
RELIABLE = 1


@dataclass(frozen=True)
class Figures:
    """Macro-averaged label precision, and the shares of rightly mapped pixels that are kept: overall and least."""

    precision: float
    kept: float
    least_kept: float


@pytest.fixture(scope="module")
def year() -> SimulatedYear:
    return simulated_year(SEED, SIZE_PX)


def figures_of(year: SimulatedYear, chosen: npt.NDArray[np.bool_]) -> Figures:
    """The figures of the mapped pixels that are chosen; precision is averaged over the classes that have any."""
    precision, kept = [], []
    for cover in np.unique(year.mapped[year.mapped > 0]):
        mine = chosen & (year.mapped == cover)
        right = (year.mapped == cover) & (year.truth == cover)
        if mine.any():
            precision.append(float((year.truth[mine] == cover).mean()))
        kept.append(float(chosen[right].mean()))
    every = (year.mapped > 0) & (year.mapped == year.truth)
    return Figures(float(np.mean(precision)), float(chosen[every].mean()), min(kept))


def reliable(folder: Path, year: SimulatedYear, method: str) -> Figures:
    layers = Layers(BANDS, year.indices, year.series, year.index_series, year.views, year.mapped)
    region = MappedRegion(folder, layers, tile_size_px=256, clusterer={"cluster": {"method": method}})
    _, verdict, _ = region.verdicts(region.run_all())
    return figures_of(year, verdict == RELIABLE)


def test_reliable_samples_are_right_and_of_every_class(tmp_path: Path, year: SimulatedYear) -> None:
    the_map = figures_of(year, year.mapped > 0)
    ours = reliable(tmp_path / "ours", year, "polygons")
    simpler = reliable(tmp_path / "simpler", year, "cluster-then-associate")
    print()
    for name, found in (("map", the_map), ("polygons", ours), ("cluster-then-associate", simpler)):
        print(
            f"{name:24s} label precision {found.precision:.3f}, kept {found.kept:.3f}, "
            f"of the worst class {found.least_kept:.3f}"
        )
    assert 0.75 <= the_map.precision <= 0.88
    assert ours.precision >= 0.95
    assert ours.precision >= the_map.precision + 0.08
    assert ours.kept >= 0.30
    assert ours.least_kept >= 0.10
    assert ours.precision > simpler.precision
