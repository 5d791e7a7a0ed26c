"""The offset that dark pixels carry, or do not."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st

from landseries_fetcher.sources.harmonised import offset_of_pixels
from landseries_fetcher.sources.metadata import BadMetadata


@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.005, 0.06),
    st.floats(0.0, 0.9),
    st.booleans(),
    st.sampled_from([(40, 60), (20, 30), (80, 120)]),
)
def test_vegetation_and_water_tell(
    seed: int, reflectance: float, bright: float, is_harmonised: bool, shape: tuple[int, int]
) -> None:
    draw = np.random.default_rng(seed)
    scene = np.where(draw.random(shape) < bright, 8, draw.choice([2, 4, 6], shape)).astype(np.uint8)
    level = np.where(scene == 8, 0.6, draw.normal(reflectance, 0.002, shape)) * 10_000
    numbers = np.clip(level + (0 if is_harmonised else 1_000), 1, None).astype(np.uint16)
    red = numbers.repeat(80 // shape[0] or 1, axis=0)[:80, : shape[1]]
    if np.isin(scene, (2, 4, 6)).sum() < 400:
        return
    assert offset_of_pixels(red, scene) == (0 if is_harmonised else -1_000)


@pytest.mark.parametrize("level", [800, 1_900, 6_000])
def test_levels_between_and_beyond_are_refused(level: int) -> None:
    with pytest.raises(BadMetadata, match="do not tell"):
        offset_of_pixels(np.full((40, 60), level, np.uint16), np.full((40, 60), 4, np.uint8))


def test_clouds_and_no_data_do_not_count() -> None:
    scene = np.full((40, 60), 9, np.uint8)
    scene[:2] = 4
    red = np.full((40, 60), 300, np.uint16)
    with pytest.raises(BadMetadata, match="120 dark pixels"):
        offset_of_pixels(red, scene)
    scene[:] = 4
    red[5:] = 0
    assert offset_of_pixels(red, scene) == 0


@pytest.mark.parametrize("added", [0, 1_000])
def test_real_pixels_are_never_told_wrongly(real_data: Path, added: int) -> None:
    """118 dates of one place, in all weather, of baselines before 04.00, and the same with the offset put in."""
    folder = real_data / "flanders_2018"
    fine, coarse = (
        xarray.open_dataset(next(folder.glob(f"S2_L2A_{pixel_m}m_*.nc")), mask_and_scale=False) for pixel_m in (10, 20)
    )
    told = []
    for number, scene in zip(fine["B04"].to_numpy(), coarse["SCL"].to_numpy(), strict=True):
        red = np.where(number > 0, np.minimum(number.astype(np.int32) + added, 65_535), 0).astype(np.uint16)
        with suppress(BadMetadata):
            told.append(offset_of_pixels(red, scene))
    assert len(told) > 50
    assert set(told) == {-added}
