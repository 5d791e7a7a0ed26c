"""Ground that is known to be dark: found whatever the offset, and no brighter than it is."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from landseries.bands import BANDS, NODATA
from landseries_fetcher.harmony.dark_targets import excess, find_dark_targets

#: Reflectance x 10,000 in the order of BANDS.
MEADOW = (280, 660, 330, 1000, 3300, 4200, 4400, 4550, 2150, 1100)
LAKE = (340, 400, 260, 220, 170, 160, 140, 130, 100, 80)
ROOF = (3800, 3900, 4000, 4000, 4050, 4050, 4100, 4100, 4150, 4150)
SNOW = (9000, 8900, 8800, 8500, 8200, 8000, 7800, 7600, 900, 850)
#: Trees with snow between them.
WINTER_FOREST = (1200, 1300, 1250, 1700, 3900, 4300, 4500, 4600, 1500, 800)
SOIL = (600, 850, 1150, 1450, 1650, 1850, 2050, 2250, 2950, 2500)


def ground(*kinds: tuple[int, ...], size_px: int = 20) -> npt.NDArray[np.int16]:
    noise = np.random.default_rng(1).normal(0, 15, (len(kinds), len(BANDS), size_px, size_px))
    images = np.array(kinds)[:, :, None, None] + noise
    return np.concatenate(list(images), axis=2).astype(np.int16)


@pytest.mark.parametrize("added", [-1000, 0, 1000])
@pytest.mark.parametrize("kinds", [(MEADOW, ROOF), (LAKE, SOIL), (MEADOW, LAKE, SNOW)])
def test_an_offset_shows_in_full(added: int, kinds: tuple[tuple[int, ...], ...]) -> None:
    features = ground(*kinds) + np.int16(added)
    targets = find_dark_targets(features, np.ones(features.shape[1:], dtype=bool))
    assert excess([targets]) == pytest.approx(added / 10_000, abs=0.01)


def test_bright_ground_and_snow_tell_nothing() -> None:
    features = ground(ROOF, SNOW, SOIL, WINTER_FOREST)
    assert math.isnan(excess([find_dark_targets(features, np.ones(features.shape[1:], dtype=bool))]))


def test_hidden_pixels_are_never_looked_at() -> None:
    features = ground(MEADOW, LAKE)
    clear = np.zeros(features.shape[1:], dtype=bool)
    clear[:, :20] = True
    features[:, ~clear] = NODATA
    targets = find_dark_targets(features, clear)
    assert targets.red.size > 300
    assert targets.shortwave.size == 0


def test_parts_count_together_and_haze_is_not_believed() -> None:
    clear = np.ones((20, 20), dtype=bool)
    hazy = find_dark_targets(ground(MEADOW) + np.int16(600), clear)
    assert excess([hazy]) == pytest.approx(0.06, abs=0.01)
    assert excess([hazy, find_dark_targets(ground(LAKE), clear)]) == pytest.approx(0.0, abs=0.01)
    assert math.isnan(excess([hazy], with_vegetation=False))
    few = find_dark_targets(ground(MEADOW, size_px=6), np.ones((6, 6), dtype=bool))
    assert math.isnan(excess([few]))
    assert excess([few, few]) == pytest.approx(0.0, abs=0.01)
