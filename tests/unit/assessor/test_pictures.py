"""Pictures and charts: the right pixels at the right places, and shapes within their frames."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from rasterio.enums import Resampling

from landseries.artifacts.rasters import write_cog
from landseries.grid import Raster
from landseries_assessor.charts import dumbbell, sparkline, training_curve
from landseries_assessor.pictures import Canvas, canvas_of


def _write(path: Path, values: np.ndarray, raster: Raster) -> Path:
    write_cog(path, values[None].astype(np.uint8), raster, names=["class"], nodata=0)
    return path


def test_the_canvas_is_never_finer_than_the_maps():
    grid = Raster("EPSG:32632", 0.0, 100.0, 10.0, 10.0, 40, 10)
    assert canvas_of([grid], 900) == grid
    small = canvas_of([grid], 20)
    assert (small.width, small.height, small.pixel_width) == (20, 5, 20.0)


def test_a_raster_beside_the_canvas_paints_nothing(tmp_path: Path):
    canvas = Canvas(Raster("EPSG:32632", 640_000.0, 5_130_000.0, 10.0, 10.0, 8, 8), 1, 0)
    far = Raster("EPSG:32632", 740_000.0, 5_130_000.0, 10.0, 10.0, 8, 8)
    canvas.paint(_write(tmp_path / "far.tif", np.ones((8, 8)), far), Resampling.nearest)
    assert canvas.empty


def test_only_the_part_on_the_canvas_is_painted(tmp_path: Path):
    values = np.arange(1, 65).reshape(8, 8)
    wide = Raster("EPSG:32632", 640_000.0, 5_130_000.0, 10.0, 10.0, 8, 8)
    canvas = Canvas(Raster("EPSG:32632", 640_020.0, 5_129_970.0, 10.0, 10.0, 4, 3), 1, 0)
    canvas.paint(_write(tmp_path / "wide.tif", values, wide), Resampling.nearest)
    np.testing.assert_array_equal(canvas.pixels[0], values[3:6, 2:6])


def test_no_data_leaves_what_is_there(tmp_path: Path):
    grid = Raster("EPSG:32632", 640_000.0, 5_130_000.0, 10.0, 10.0, 2, 1)
    canvas = Canvas(grid, 1, 0)
    canvas.paint(_write(tmp_path / "a.tif", np.array([[4, 5]]), grid), Resampling.nearest)
    canvas.paint(_write(tmp_path / "b.tif", np.array([[0, 7]]), grid), Resampling.nearest)
    assert canvas.pixels[0].tolist() == [[4, 7]]


def test_another_zone_comes_onto_the_canvas(tmp_path: Path):
    # Both zones meet at 12 degrees east; the neighbour's strip must appear, in its own class only.
    canvas = Canvas(canvas_of([Raster("EPSG:32632", 700_000.0, 5_130_000.0, 100.0, 100.0, 200, 50)], 200), 1, 0)
    other = Raster("EPSG:32633", 230_000.0, 5_140_000.0, 100.0, 100.0, 200, 250)
    canvas.paint(_write(tmp_path / "other.tif", np.full((250, 200), 6), other), Resampling.nearest)
    assert set(np.unique(canvas.pixels)) == {0, 6}


def _numbers(svg: str, attribute: str) -> list[float]:
    return [float(value) for value in re.findall(rf' {attribute}="([\d.]+)"', svg)]


def test_a_dumbbell_has_a_dot_per_defined_figure():
    svg = str(dumbbell({"multi-year": 1.0, "single-year": 0.0, "other": None}))
    assert sorted(_numbers(svg, "cx")) == [6.0, 144.0]
    assert svg.index("m-single-year") < svg.index("m-multi-year")
    assert "not defined" in str(dumbbell({"multi-year": None}))


def test_a_training_curve_stays_in_its_frame():
    epochs = [{"loss": 3.4 / (k + 1), "validation_loss": 3.9 / (k + 1)} for k in range(5)]
    svg = str(training_curve({"epochs": epochs, "best_epoch": 3}, "multi-year"))
    assert "kept: epoch 4" in svg
    points = [float(v) for line in re.findall(r'points="([^"]+)"', svg) for p in line.split() for v in p.split(",")]
    assert min(points) >= 0
    assert max(points[1::2]) <= 130
    assert str(training_curve({"epochs": epochs[:1], "best_epoch": 0}, "one"))


def test_a_line_over_the_years_skips_years_without_a_map():
    svg = str(sparkline({"multi-year": [1.0, None, 3.0]}))
    assert svg.count("<circle") == 2
