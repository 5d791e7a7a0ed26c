"""The land: all classes whatever the seed, whole parcels, plausible altitudes."""

from __future__ import annotations

import numpy as np
import pytest

from landseries.legend import load_legend
from landseries.simulation.classes import RASTER_CODES, UNUSED_RASTER_CODES, LandCover
from landseries.simulation.landscape import blob, build_landscape
from landseries.simulation.randomness import generator


def test_class_ids_and_codes_are_those_of_the_default_legend() -> None:
    legend = load_legend("corine")
    assert {cover.name.capitalize(): int(cover) for cover in LandCover} == dict(
        zip(legend.names, legend.ids, strict=True)
    )
    for cover, codes in RASTER_CODES.items():
        assert (legend.classify(np.array(codes, np.uint8)) == cover).all()
    assert (legend.classify(np.array(UNUSED_RASTER_CODES, np.uint8)) == 0).all()


@pytest.mark.parametrize(("size_px", "seed"), [(256, 0), (256, 1), (256, 2), (512, 3)])
def test_every_class_is_there(size_px: int, seed: int) -> None:
    shares = np.bincount(build_landscape(size_px, seed).classes.ravel(), minlength=12) / size_px**2
    assert shares[0] == 0
    assert (shares[1:] > 0.006).all(), shares
    assert shares.max() < 0.35


def test_classes_lie_where_they_belong() -> None:
    land = build_landscape(512, 1)
    altitude = {cover: float(np.median(land.altitude_m[land.classes == cover])) for cover in LandCover}
    rising = (LandCover.WATER, LandCover.BROADLEAVES, LandCover.CONIFERS, LandCover.ROCKS, LandCover.SNOW)
    values = [altitude[cover] for cover in rising]
    assert values == sorted(values)
    assert altitude[LandCover.CROPS] < altitude[LandCover.BROADLEAVES]
    assert land.floodplain[land.classes == LandCover.SAND].all()


def test_a_blob_takes_the_best_of_what_is_allowed() -> None:
    score = np.tile(np.arange(50, dtype=np.float32), (50, 1))
    allowed = np.zeros((50, 50), bool)
    allowed[:, :30] = True
    chosen = blob(score, allowed, 200, generator(1, "blob"), roughness=0.0)
    assert chosen.sum() == 200
    assert chosen[:, 26:30].all()
    assert blob(score, allowed, 5_000, generator(1, "blob")).sum() == allowed.sum()
