"""The scene's place: on the processing lattice, across two granules, and an area that does not spill over."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pyproj import Transformer

from landseries.errors import ConfigError
from landseries.simulation.geometry import Geometry


@pytest.mark.parametrize("size_px", [0, -256, 100, 300, 511, 6144])
def test_a_size_off_the_lattice_is_refused(size_px: int) -> None:
    with pytest.raises(ConfigError, match=rf"size_px is {size_px}.*multiple of 256"):
        Geometry(size_px)


def test_granules_deliver_what_they_cover() -> None:
    windows = Geometry(512).windows()
    assert [(window.granule, window.first_column, window.last_column) for window in windows] == [
        ("32TPS", 0, 512),
        ("32TQS", 108, 512),
    ]
    west, east = Geometry(2048).windows()
    assert Geometry(2048).left_m + west.last_column * 10 == 709_800
    assert Geometry(2048).left_m + east.first_column * 10 == 699_960


@pytest.mark.parametrize("size_px", [256, 512, 1024])
def test_windows_lie_on_the_20_m_grid(size_px: int) -> None:
    geometry = Geometry(size_px)
    assert geometry.left_m % 20 == 0
    for window in geometry.windows():
        assert window.first_column % 2 == 0
        assert window.width_px % 2 == 0


def test_the_area_lies_inside_the_scene_by_a_few_metres() -> None:
    geometry = Geometry(512)
    feature = json.loads(json.dumps(geometry.area()))["features"][0]
    ring = np.array(feature["geometry"]["coordinates"][0])
    assert (ring[0] == ring[-1]).all()
    to_utm = Transformer.from_crs(4326, 32632, always_xy=True)
    x, y = to_utm.transform(ring[:, 0], ring[:, 1])
    left, bottom, right, top = geometry.bounds_m
    for gap in (x.min() - left, y.min() - bottom, right - x.max(), top - y.max()):
        assert 5 < gap < 15
