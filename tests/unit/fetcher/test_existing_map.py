"""The existing map on a tile's grid, from any projection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer

from landseries.errors import ConfigError, SourceError
from landseries.grid import Raster
from landseries.legend import load_legend
from landseries_fetcher.existing_map import OUTSIDE, check, warp_codes

#: A tile of 60 x 50 pixels in the Inn valley.
TILE = Raster("EPSG:32632", 680_000.0, 5_240_000.0, 10.0, 10.0, 50, 60)


def _write(
    path: Path, values: npt.NDArray[np.generic], crs: str | None, transform: Affine, nodata: float | None = None
) -> Path:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=values.shape[1],
        height=values.shape[0],
        count=1,
        dtype=values.dtype.name,
        crs=crs,
        transform=transform,
        nodata=nodata,
    ) as target:
        target.write(values, 1)
    return path


def _nearest(path: Path, raster: Raster) -> npt.NDArray[np.int64]:
    """Each pixel's own projection, one by one: exact, and independent of the warper."""
    with rasterio.open(path) as source:
        values, transform, crs = source.read(1).astype(np.int64), source.transform, source.crs
    x = raster.left + raster.pixel_width * (np.arange(raster.width) + 0.5)
    y = raster.top - raster.pixel_height * (np.arange(raster.height) + 0.5)
    to_source = Transformer.from_crs(raster.crs, crs, always_xy=True)
    columns, rows = ~transform * to_source.transform(*np.meshgrid(x, y))
    row, column = np.floor(rows).astype(int), np.floor(columns).astype(int)
    inside = (row >= 0) & (row < values.shape[0]) & (column >= 0) & (column < values.shape[1])
    found = np.where(inside, values[row.clip(0, values.shape[0] - 1), column.clip(0, values.shape[1] - 1)], OUTSIDE)
    return np.asarray(found)


@pytest.mark.parametrize(
    ("crs", "pixel"), [("EPSG:3035", 100.0), ("EPSG:32633", 25.0), ("EPSG:4326", 0.001), ("EPSG:32632", 30.0)]
)
def test_nearest_neighbour_from_any_projection(tmp_path: Path, crs: str, pixel: float) -> None:
    left, bottom, right, top = rasterio.warp.transform_bounds(TILE.crs, crs, *TILE.bounds)
    shape = (int((top - bottom) / pixel) + 5, int((right - left) / pixel) + 5)
    values = np.random.default_rng(0).integers(1, 45, shape).astype(np.uint8)
    # Half a pixel of slack beside the pixel grid, so that no centre lies on an edge.
    transform = Affine(pixel, 0, left - 2.37 * pixel, 0, -pixel, top + 2.13 * pixel)
    path = _write(tmp_path / "map.tif", values, crs, transform)
    found, expected = warp_codes(path, TILE), _nearest(path, TILE)
    assert found.dtype == np.int32
    assert (found != expected).mean() < 0.001, "the warper and the exact projection may differ on an edge"
    assert (found > 0).all()


def test_outside_and_no_data(tmp_path: Path) -> None:
    values = np.array([[7, 255], [9, 11]], dtype=np.uint8)
    transform = Affine(100, 0, TILE.left + 100, 0, -100, TILE.top)
    found = warp_codes(_write(tmp_path / "map.tif", values, TILE.crs, transform, 255), TILE)
    assert (found[:, :10] == OUTSIDE).all()
    assert (found[:10, 10:20] == 7).all()
    assert (found[:10, 20:30] == OUTSIDE).all()
    assert (found[10:20, 20:30] == 11).all()
    assert (found[20:] == OUTSIDE).all()


def test_codes_without_a_no_data_value(tmp_path: Path) -> None:
    values = np.array([[0, 523]], dtype=np.uint16)
    found = warp_codes(
        _write(tmp_path / "map.tif", values, TILE.crs, Affine(250, 0, TILE.left, 0, -600, TILE.top)), TILE
    )
    assert (found[:, :25] == 0).all()
    assert (found[:, 25:] == 523).all()


def test_what_is_no_map_of_codes(tmp_path: Path) -> None:
    place = Affine(10, 0, TILE.left, 0, -10, TILE.top)
    with pytest.raises(SourceError, match=r"reference\.path: .*gone\.tif cannot be read"):
        warp_codes(tmp_path / "gone.tif", TILE)
    shares = _write(tmp_path / "shares.tif", np.ones((4, 4), np.float32), TILE.crs, place)
    with pytest.raises(ConfigError, match="float32 values"):
        warp_codes(shares, TILE)
    nowhere = _write(tmp_path / "nowhere.tif", np.ones((4, 4), np.uint8), None, place)
    with pytest.raises(ConfigError, match="no projection"):
        warp_codes(nowhere, TILE)


def test_check_tells_a_map_of_elsewhere(tmp_path: Path) -> None:
    path = _write(tmp_path / "map.tif", np.full((60, 50), 3, np.uint8), TILE.crs, TILE.transform, 0)
    west, south, east, north = TILE.footprint().bounds
    assert (check(path, (west, south, east, north))[5:-5, 5:-5] == 3).all()
    with pytest.raises(SourceError, match="does not overlap the area"):
        check(path, (west + 5, south, east + 5, north))


@pytest.mark.real_data
def test_corine_of_lanjaron(real_data: Path) -> None:
    """The raster in EPSG:3042 (whose axes are north first) agrees with the official polygons on a UTM grid."""
    path = real_data / "corine" / "clc.tif"
    with rasterio.open(path) as source:
        bounds = rasterio.warp.transform_bounds(source.crs, "EPSG:32630", *source.bounds)
        codes = source.read(1)
        shares = {int(code): float((codes == code).sum() / (codes < 1000).sum()) for code in np.unique(codes)}
    left, top = round(bounds[0], -1), round(bounds[3], -1)
    raster = Raster("EPSG:32630", left, top, 10.0, 10.0, int((bounds[2] - left) / 10), int((top - bounds[1]) / 10))
    found = warp_codes(path, raster)
    for code in (324, 312, 223):
        assert (found == code).sum() / (found != OUTSIDE).sum() == pytest.approx(shares[code], abs=0.003)
    classes = load_legend("corine").classify(found)
    assert set(np.unique(classes)) >= {0, 1, 2, 7, 8, 9}
    with rasterio.open(path) as source:
        expected = _nearest(path, raster)
        expected[expected == source.nodata] = OUTSIDE
    assert (found != expected).mean() < 0.001
