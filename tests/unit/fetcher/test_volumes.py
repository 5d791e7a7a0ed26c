"""Estimates of what a fetch moves: blocks that windows touch, and the lengths of files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseries_fetcher.remote.windows import PixelWindow
from landseries_fetcher.volumes import touched_share

WINDOWS = st.builds(PixelWindow, st.integers(-30, 90), st.integers(-30, 90), st.integers(0, 60), st.integers(0, 60))


@settings(max_examples=150, deadline=None)
@given(
    windows=st.lists(WINDOWS, max_size=4),
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    block_px=st.sampled_from([8, 16, 1024]),
)
def test_the_share_of_touched_blocks(windows: list[PixelWindow], width: int, height: int, block_px: int) -> None:
    """Against every pixel of the image."""
    rows, columns = np.mgrid[:height, :width]
    touched: set[tuple[int, int]] = set()
    for window in windows:
        inside = (rows >= window.row) & (rows < window.row + window.height)
        inside &= (columns >= window.column) & (columns < window.column + window.width)
        touched |= set(zip(rows[inside] // block_px, columns[inside] // block_px, strict=True))
    of_touched = [
        (row, column) in touched
        for row, column in zip((rows // block_px).flat, (columns // block_px).flat, strict=True)
    ]
    assert touched_share(windows, width, height, block_px) == pytest.approx(np.mean(of_touched))


def test_of_a_whole_granule_one_tile_touches_little() -> None:
    assert touched_share([PixelWindow(0, 0, 512, 512)], 10_980, 10_980) == pytest.approx((1024 / 10_980) ** 2)
    assert touched_share([PixelWindow(0, 0, 10_980, 10_980)], 10_980, 10_980) == 1.0
    assert touched_share([PixelWindow(0, 0, 5, 5)], 0, 0) == 0.0
