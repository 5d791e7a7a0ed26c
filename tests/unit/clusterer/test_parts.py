"""Polygon parts: components of a class in a cell, the same whatever the tiles."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from landseries.grid import Raster
from landseries_clusterer.parts import polygon_parts


def raster(height: int, width: int, row: int = 0, column: int = 0) -> Raster:
    return Raster("EPSG:32632", 640_000.0 + 10 * column, 5_120_000.0 - 10 * row, 10.0, 10.0, width, height)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_without_cells_parts_are_connected_components(height: int, width: int, seed: int) -> None:
    classes = np.random.default_rng(seed).integers(0, 3, (height, width)).astype(np.uint8)
    # 640,000 m is 64,000 pixels and 5,120,000 m 512,000: a cell of 32,000 pixels holds the whole raster.
    parts = polygon_parts(classes, raster(height, width), 32_000)
    expected = 0
    for cover in (1, 2):
        numbered, count = label(classes == cover)
        expected += count
        for number in range(1, count + 1):
            assert len(np.unique(parts[numbered == number])) == 1
    assert np.array_equal(np.unique(parts[classes > 0]), np.arange(1, expected + 1))
    assert np.array_equal(parts == 0, classes == 0)
    assert len(np.unique(parts[classes > 0])) == expected


def test_numbers_follow_the_first_pixels_in_reading_order() -> None:
    classes = np.array([[0, 2, 0, 1], [1, 2, 0, 1], [1, 1, 1, 1]], np.uint8)
    assert polygon_parts(classes, raster(3, 4), 32_000).tolist() == [[0, 1, 0, 2], [2, 1, 0, 2], [2, 2, 2, 2]]


def test_a_large_polygon_is_cut_by_the_lattice() -> None:
    parts = polygon_parts(np.ones((20, 30), np.uint8), raster(20, 30), 10)
    assert len(np.unique(parts)) == 6
    assert (np.bincount(parts.ravel())[1:] == 100).all()


def test_the_lattice_does_not_move_with_the_tile() -> None:
    classes = np.random.default_rng(1).integers(1, 3, (64, 64)).astype(np.uint8)
    whole = polygon_parts(classes, raster(64, 64), 16)
    piece = polygon_parts(classes[16:48, 32:64], raster(32, 32, 16, 32), 16)
    pairs = np.unique(np.stack([whole[16:48, 32:64].ravel(), piece.ravel()]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
