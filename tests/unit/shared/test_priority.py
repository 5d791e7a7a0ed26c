"""Priorities: uniform, independent of tiles, different for every purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from landseries.grid import Raster
from landseries.priority import pixel_priority

WHOLE = Raster("EPSG:32632", 640_000.0, 5_120_000.0, 10.0, 10.0, 120, 90)


@given(st.integers(0, 80), st.integers(0, 110), st.integers(1, 10), st.integers(1, 10), st.integers(0, 2**40))
def test_a_pixel_has_its_priority_in_every_tile(row: int, column: int, height: int, width: int, seed: int) -> None:
    piece = replace(WHOLE, left=WHOLE.left + 10 * column, top=WHOLE.top - 10 * row, width=width, height=height)
    whole = pixel_priority(WHOLE, seed, "any")
    assert np.array_equal(pixel_priority(piece, seed, "any"), whole[row : row + height, column : column + width])


def test_priorities_are_uniform_and_all_different() -> None:
    drawn = pixel_priority(WHOLE, 1, "any")
    assert drawn.dtype == np.uint64
    assert drawn.shape == WHOLE.shape
    assert len(np.unique(drawn)) == drawn.size
    counts = np.bincount((drawn >> np.uint64(60)).astype(np.int64).ravel(), minlength=16)
    assert np.abs(counts - drawn.size / 16).max() < 5 * np.sqrt(drawn.size / 16)
    unit = drawn / 2.0**64
    assert abs(np.corrcoef(unit[:, :-1].ravel(), unit[:, 1:].ravel())[0, 1]) < 0.04
    assert abs(np.corrcoef(unit[:-1].ravel(), unit[1:].ravel())[0, 1]) < 0.04


def test_seeds_streams_and_zones_are_independent() -> None:
    first = pixel_priority(WHOLE, 1, "a").ravel() / 2.0**64
    for other in (
        pixel_priority(WHOLE, 2, "a"),
        pixel_priority(WHOLE, 1, "b"),
        pixel_priority(replace(WHOLE, crs="EPSG:32633"), 1, "a"),
    ):
        assert abs(np.corrcoef(first, other.ravel() / 2.0**64)[0, 1]) < 0.04


def test_a_value_is_what_it_was() -> None:
    """Stored samples are chosen by these numbers: a change of the hash is a change of every run."""
    assert pixel_priority(replace(WHOLE, width=1, height=1), 7, "sample").tolist() == [[7904362952664574649]]
