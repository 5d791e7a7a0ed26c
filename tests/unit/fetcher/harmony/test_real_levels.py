"""Offsets that are missing or doubled, put into 64 real acquisitions of 640 m of Flanders, in all weather."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

from landseries.bands import BANDS, NODATA, SceneClass
from landseries_fetcher.harmony.dark_targets import excess, find_dark_targets
from landseries_fetcher.harmony.levels import LEVEL_BANDS, LevelVerdict, judge_levels
from landseries_fetcher.masking import clear_mask
from landseries_fetcher.reading import replicate

pytestmark = pytest.mark.real_data
SIZE_PX = 64
ACCUSED = (LevelVerdict.MISSING, LevelVerdict.DOUBLED)
Real = tuple[npt.NDArray[np.int16], list[int], npt.NDArray[np.float64]]


@cache
def acquisitions(folder: Path) -> Real:
    """Samples, days of the year and levels of known dark ground, of baselines that know no offset."""
    fine, coarse = (
        xr.open_dataset(next(folder.glob(f"S2_L2A_{pixel_m}m_*.nc")), mask_and_scale=False) for pixel_m in (10, 20)
    )
    samples, days, known = [], [], []
    for number, time in enumerate(fine["timestamp"].values):
        layers = [(fine if band in fine else coarse)[band].values[number].astype(np.int32) for band in BANDS]
        stored = np.stack([replicate(layer, SIZE_PX // len(layer)) for layer in layers])
        features = np.where(stored == 0, NODATA, stored.clip(0, 32_767)).astype(np.int16)
        scene = coarse["SCL"].values[number].astype(np.uint8)
        clear = replicate(clear_mask(scene, (0, 1, 3, 8, 9, 10), 60.0, (20.0, 20.0)), 2)
        clear &= (features != NODATA).all(axis=0) & (replicate(scene, 2) != SceneClass.SNOW)
        if clear.mean() > 0.05:
            sample = features[[BANDS.index(band) for band in LEVEL_BANDS], ::2, ::2].copy()
            sample[:, ~clear[::2, ::2]] = NODATA
            samples.append(sample.reshape(len(LEVEL_BANDS), -1))
            days.append(int((time - time.astype("datetime64[Y]")) / np.timedelta64(1, "D")) + 1)
            known.append(excess([find_dark_targets(features, clear)]))
    return np.stack(samples), days, np.array(known)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("numbers", [1000, -1000])
def test_what_is_wrong_is_never_called_right(real_data: Path, numbers: int, share: float) -> None:
    samples, days, known = (part.copy() for part in acquisitions(real_data / "flanders_2018"))
    wrong = np.random.default_rng(1).permutation(len(days))[: round(share * len(days))]
    samples[wrong] = np.where(samples[wrong] == NODATA, NODATA, samples[wrong] + numbers)
    known[wrong] += numbers / 10_000
    verdicts = [finding.verdict for finding in judge_levels(samples, days, known.tolist())]
    wanted = LevelVerdict.MISSING if numbers > 0 else LevelVerdict.DOUBLED
    assert LevelVerdict.OK not in [verdicts[number] for number in wrong]
    assert [verdicts[number] for number in wrong].count(wanted) >= 0.75 * len(wrong)
    right = [verdict for number, verdict in enumerate(verdicts) if number not in wrong]
    assert sum(verdict in ACCUSED for verdict in right) <= (1 if share else 0), "thin haze over a small patch"
    assert right.count(LevelVerdict.OK) >= 0.8 * len(right)
