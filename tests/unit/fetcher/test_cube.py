"""Cubes: NetCDF, Zarr and NumPy folders, on one grid or at half the resolution, with their masks and maps."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from landseries.bands import NODATA
from landseries.config import Period
from landseries.errors import ConfigError, SourceError
from landseries.grid import Raster, Tile, tiles_of_raster
from landseries.settings.fetcher import FetchSettings
from landseries.settings.sources import CubeSource
from landseries_fetcher.sources.base import Image
from landseries_fetcher.sources.cube import Cube
from landseries_fetcher.sources.layers import Layer

YEAR = Period(start=date(2018, 1, 1), end=date(2018, 12, 31))
TIMES = np.array(["2018-02-01T10:00:00", "2018-07-01T10:00:00", "2019-01-05T10:00:00"], dtype="datetime64[ns]")
LEFT, TOP = 501_360.0, 5_629_680.0
ROWS, COLUMNS = 8, 6
FINE = np.arange(3 * ROWS * COLUMNS).reshape(3, ROWS, COLUMNS).astype(np.uint16) + 1
COARSE = np.arange(3 * ROWS // 2 * COLUMNS // 2).reshape(3, ROWS // 2, COLUMNS // 2).astype(np.uint16) + 1


def _dataset(pixel_m: float, from_south: bool = False, **variables: np.ndarray) -> xr.Dataset:
    rows, columns = next(iter(variables.values())).shape[-2:]
    x = LEFT + pixel_m * (np.arange(columns) + 0.5)
    y = TOP - pixel_m * (np.arange(rows) + 0.5)
    data = {}
    for name, values in variables.items():
        stored = values[..., ::-1, :] if from_south else values
        data[name] = (("time", "y", "x")[-values.ndim :], stored)
    coordinates = {"time": TIMES, "y": y[::-1] if from_south else y, "x": x}
    dataset = xr.Dataset(
        data, {axis: coordinates[axis] for axis in coordinates if axis in {d for v in data.values() for d in v[0]}}
    )
    return dataset.assign_attrs(epsg="32631")


def _netcdf(path: Path, dataset: xr.Dataset) -> Path:
    dataset.to_netcdf(path, engine="h5netcdf")
    return path


def _cube(*paths: Path, **fields: Any) -> Cube:
    fields.setdefault("features", {"B04": "red", "B05": "edge"})
    return Cube(CubeSource(kind="cube", paths=list(paths), **fields), lambda path: path)


def _images(cube: Cube, tile_px: int = 32) -> dict[str, list[tuple[Tile, Image]]]:
    assert cube.raster is not None
    tiles = tiles_of_raster(cube.raster, "cube", tile_px, None)
    catalogue = cube.catalogue("cube", YEAR, {})
    return {a.id: list(cube.images(a, tiles, FetchSettings(), 1)) for a in catalogue.acquisitions}


@pytest.fixture
def two_files(tmp_path: Path) -> list[Path]:
    return [
        _netcdf(tmp_path / "fine.nc", _dataset(10, red=FINE)),
        _netcdf(tmp_path / "coarse.nc", _dataset(20, edge=COARSE)),
    ]


def test_two_grids_come_to_the_finest(two_files: list[Path]) -> None:
    cube = _cube(*two_files, nodata=0)
    assert cube.raster == Raster("EPSG:32631", LEFT, TOP, 10.0, 10.0, COLUMNS, ROWS)
    found = _images(cube)
    assert list(found) == ["cube_20180201T100000", "cube_20180701T100000"], "dates of the period, in order"
    for index, images in enumerate(found.values()):
        ((_, image),) = images
        assert np.array_equal(image.features[0], FINE[index])
        assert np.array_equal(image.features[1], COARSE[index].repeat(2, axis=0).repeat(2, axis=1))
        assert image.clear.all()


def test_the_order_of_bands_is_the_usual_one_whatever_the_file_says(two_files: list[Path]) -> None:
    cube = _cube(*two_files, features={"NDVI": "red", "B05": "edge", "B04": "red"})
    assert cube.features == ("B04", "B05", "NDVI")


@pytest.mark.parametrize("kind", ["from south", "zarr"])
def test_other_ways_to_store_the_same(tmp_path: Path, two_files: list[Path], kind: str) -> None:
    if kind == "zarr":
        other = tmp_path / "fine.zarr"
        _dataset(10, red=FINE).to_zarr(other, zarr_format=3, consolidated=False)
    else:
        other = _netcdf(tmp_path / "south.nc", _dataset(10, from_south=True, red=FINE))
    expected, found = _images(_cube(*two_files)), _images(_cube(other, two_files[1]))
    for name in expected:
        assert np.array_equal(expected[name][0][1].features, found[name][0][1].features)


def test_tiles_are_windows_of_the_whole(two_files: list[Path]) -> None:
    cube = _cube(*two_files)
    for images in _images(cube, tile_px=4).values():
        assert len(images) == 4
        whole = np.zeros((2, ROWS, COLUMNS), dtype=np.int16)
        for tile, image in images:
            whole[:, tile.row * 4 : tile.row * 4 + tile.height, tile.column * 4 : tile.column * 4 + tile.width] = (
                image.features
            )
        assert np.array_equal(whole[1][::2, ::2].ravel(), np.unique(whole[1]))


def test_scale_offset_and_no_data(tmp_path: Path) -> None:
    values = np.array([[0.5, np.nan], [-9999.0, 0.25]], dtype=np.float32)[None].repeat(3, axis=0)
    path = _netcdf(tmp_path / "ndvi.nc", _dataset(10, ndvi=values))
    cube = _cube(path, features={"NDVI": "ndvi"}, scale=2.0, offset=-0.1, nodata=-9999.0)
    ((_, image),) = next(iter(_images(cube).values()))
    assert image.features[0].tolist() == [[9_000, NODATA], [NODATA, 4_000]]
    assert image.clear.tolist() == [[True, False], [False, True]]


def test_fill_value_and_unsigned_numbers_of_the_file(tmp_path: Path) -> None:
    dataset = _dataset(10, red=np.array([[1, -1], [40_000 - 65_536, 0]], dtype=np.int16)[None].repeat(3, axis=0))
    dataset["red"].attrs["_Unsigned"] = "true"
    dataset["red"].attrs["missing_value"] = np.int16(-1)
    cube = _cube(_netcdf(tmp_path / "u.nc", dataset), features={"B04": "red"})
    ((_, image),) = next(iter(_images(cube).values()))
    assert image.features[0].tolist() == [[1, NODATA], [32_767, 0]], "reflectance 4 is cut off at what int16 holds"


@pytest.mark.parametrize("is_scene", [False, True])
def test_masks(tmp_path: Path, two_files: list[Path], is_scene: bool) -> None:
    scene = np.full(COARSE.shape, 4, dtype=np.uint8)
    scene[0, 0, 0], scene[1] = 9, 0
    path = _netcdf(tmp_path / "mask.nc", _dataset(20, scl=scene))
    mask = {"variable": "scl", "scene_classification": is_scene, "clear_values": (4,)}
    cube = Cube(
        CubeSource(kind="cube", paths=[*two_files, path], features={"B04": "red"}, mask=mask),
        lambda path: path,
    )
    tiles = tiles_of_raster(cube.raster, "cube", 4, None)
    masking = FetchSettings(cloud_buffer_m=20.0)
    acquisitions = cube.catalogue("cube", YEAR, {}).acquisitions
    clear = np.zeros((ROWS, COLUMNS), dtype=bool)
    for tile, image in cube.images(acquisitions[0], tiles, masking, 1):
        clear[tile.row * 4 : tile.row * 4 + tile.height, tile.column * 4 : tile.column * 4 + tile.width] = image.clear
    # The ready mask hides one pixel of 20 m; the scene classification one and, by 20 m, its two neighbours.
    assert (~clear).sum() == (12 if is_scene else 4)
    assert not any(image.clear.any() for _, image in cube.images(acquisitions[1], tiles, masking, 1))


def test_views_say_what_images_show(two_files: list[Path]) -> None:
    cube = _cube(*two_files, nodata=5)
    tiles = tiles_of_raster(cube.raster, "cube", 32, None)
    acquisition = cube.catalogue("cube", YEAR, {}).acquisitions[0]
    ((_, view),) = cube.views(acquisition, tiles, FetchSettings())
    ((_, image),) = cube.images(acquisition, tiles, FetchSettings(), 1)
    assert np.array_equal(view.clear, image.clear)
    assert view.has_data.all(), "where any feature has data"
    assert not view.clear.all()


def test_a_folder_of_arrays(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "NDVI.npy", FINE[..., None].astype(np.float32) / 1000)
    np.save(tmp_path / "data" / "BANDS.npy", np.stack([FINE, FINE * 2], axis=-1))
    np.save(tmp_path / "LULC.npy", np.full((ROWS, COLUMNS, 1), 2, dtype=np.uint8))
    (tmp_path / "timestamps.json").write_text(
        json.dumps(["2018-02-01T12:00:00+02:00", "2018-02-01T10:00:00", "2019-01-05T10:00:00"])
    )
    place = {"crs": "EPSG:32633", "bounds": (0.0, 0.0, 60.0, 80.0)}
    cube = _cube(tmp_path, features={"NDVI": "data/NDVI", "B04": "data/BANDS[1]"}, scale=1.0, **place)
    found = _images(cube)
    assert list(found) == ["cube_20180201T100000", "cube_20180201T100000-2"], "the same second, twice; in UTC"
    ((_, image),) = found["cube_20180201T100000-2"]
    assert image.features[1].tolist() == (FINE[1] * 10).tolist()
    assert (cube.all_codes("LULC") == 2).all()
    for name, message in (("data/BANDS", "has 2 items"), ("data/OTHER", "no file"), ("LULC", "has 8 dates")):
        with pytest.raises(ConfigError, match=message):
            _cube(tmp_path, features={"NDVI": name}, **place)
    with pytest.raises(ConfigError, match="give both `crs` and `bounds`"):
        _cube(tmp_path, features={"NDVI": "data/NDVI"})
    (tmp_path / "timestamps.json").write_text('["soon"]')
    with pytest.raises(SourceError, match="no JSON list of ISO dates"):
        _cube(tmp_path, features={"NDVI": "data/NDVI"}, **place)


def test_a_map_in_the_cube(tmp_path: Path, two_files: list[Path]) -> None:
    codes = np.array([[11, 13, 60], [99, 0, 11], [11, 11, 11], [13, 13, 13]], dtype=np.uint16)
    dataset = _dataset(20, lc=codes)
    dataset["lc"].attrs["missing_value"] = np.uint16(0)
    dataset["share"] = dataset["lc"] / 2
    cube = _cube(*two_files, _netcdf(tmp_path / "map.nc", dataset))
    found = cube.all_codes("lc")
    assert found.shape == (ROWS, COLUMNS)
    assert found[::2, ::2].tolist() == [[11, 13, 60], [99, -1, 11], [11, 11, 11], [13, 13, 13]]
    with pytest.raises(ConfigError, match="fractions"):
        cube.all_codes("share")
    with pytest.raises(ConfigError, match=r"no file of source\.paths has a variable 'lcc'; there are .*lc"):
        cube.all_codes("lcc")


def test_items_of_a_further_axis(tmp_path: Path) -> None:
    stacked = np.stack([FINE, FINE * 2], axis=1)
    data = xr.Dataset(
        {"bands": (("t", "band", "y", "x"), stacked)},
        {"t": TIMES, "band": ["red", "nir"], "y": TOP - 10 * np.arange(ROWS), "x": LEFT + 10 * np.arange(COLUMNS)},
        {"crs": "EPSG:32631"},
    )
    path = _netcdf(tmp_path / "stacked.nc", data)
    cube = _cube(path, features={"B04": "bands[red]", "B08": "bands[1]"})
    ((_, image),) = next(iter(_images(cube).values()))
    assert np.array_equal(image.features, np.stack([FINE[0], FINE[0] * 2]))
    with pytest.raises(ConfigError, match="no 'green'; there are red, nir"):
        _cube(path, features={"B03": "bands[green]"})
    with pytest.raises(ConfigError, match=r"must have \(time, y, x\)"):
        _cube(path, features={"B03": "bands"})


def test_variables_that_do_not_fit_each_other(tmp_path: Path, two_files: list[Path]) -> None:
    fewer = _netcdf(tmp_path / "fewer.nc", _dataset(20, edge=COARSE).isel(time=[0, 1]))
    with pytest.raises(ConfigError, match=r"source\.features\.B05: edge has 2 dates"):
        _cube(two_files[0], fewer)
    zone = _netcdf(tmp_path / "zone.nc", _dataset(20, edge=COARSE).assign_attrs(epsg="32632"))
    with pytest.raises(ConfigError, match="share their CRS"):
        _cube(two_files[0], zone)
    away = _dataset(20, edge=COARSE)
    away = _netcdf(tmp_path / "away.nc", away.assign_coords(x=away.x + 5_000))
    with pytest.raises(ConfigError, match="does not overlap"):
        _cube(two_files[0], away)
    uneven = _dataset(20, edge=COARSE)
    uneven = _netcdf(tmp_path / "uneven.nc", uneven.assign_coords(x=uneven.x + np.array([0, 3, 0])))
    with pytest.raises(ConfigError, match="not evenly spaced"):
        _cube(two_files[0], uneven)


def test_files_that_are_not_there_or_not_cubes(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no .*gone\.nc"):
        _cube(tmp_path / "gone.nc")
    text = tmp_path / "text.nc"
    text.write_text("hello")
    with pytest.raises(SourceError, match="cannot be read as NetCDF or Zarr"):
        _cube(text)
    without_crs = _netcdf(tmp_path / "nowhere.nc", _dataset(10, red=FINE, edge=FINE).drop_attrs())
    with pytest.raises(ConfigError, match=r"give source\.crs"):
        _cube(without_crs)
    assert _cube(without_crs, crs="EPSG:32631").raster is not None


def test_identity_knows_settings_and_content_but_no_place(tmp_path: Path, two_files: list[Path]) -> None:
    first = _cube(*two_files)
    checksums = first.checksums("cube", YEAR)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = _cube(*(path.rename(elsewhere / path.name) for path in two_files))
    assert (moved.identity(), moved.checksums("cube", YEAR)) == (first.identity(), checksums)
    paths = [elsewhere / path.name for path in two_files]
    assert _cube(*paths, scale=1.0).identity() != first.identity()
    changed = _netcdf(tmp_path / "fine.nc", _dataset(10, red=FINE + 1))
    assert _cube(changed, paths[1]).checksums("cube", YEAR) != checksums


@settings(max_examples=80, deadline=None)
@given(
    pixel=st.sampled_from([10.0, 20.0, 30.0]),
    left=st.integers(-5, 5),
    top=st.integers(-5, 5),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_nearest_neighbour_by_coordinates(pixel: float, left: int, top: int, shape: tuple[int, int]) -> None:
    """Each pixel takes the layer's pixel that holds its centre."""
    own = Raster("", LEFT, TOP, pixel, pixel, 4, 5)
    values = np.arange(20).reshape(5, 4)
    layer = Layer("v", own, (), None, (), lambda time, rows, columns: values[rows, columns])
    raster = Raster("", LEFT + 10 * left, TOP + 10 * top, 10.0, 10.0, shape[1], shape[0])
    found, covered = layer.on_grid(None, raster)
    for i in range(shape[0]):
        for j in range(shape[1]):
            row = int((TOP - (raster.top - 10 * i - 5)) // pixel)
            column = int((raster.left + 10 * j + 5 - LEFT) // pixel)
            inside = 0 <= row < 5 and 0 <= column < 4
            assert covered[i, j] == inside
            if inside:
                assert found[i, j] == values[row, column]


@pytest.mark.real_data
def test_flanders(real_data: Path) -> None:
    folder = real_data / "flanders_2018"
    paths = sorted(folder.glob("*.nc"))
    bands = ("B02", "B05", "B12")
    cube = _cube(
        *paths,
        features={band: band for band in bands},
        nodata=0,
        mask={"variable": "SCL", "scene_classification": True},
    )
    assert cube.raster == Raster("EPSG:32631", 501_360.0, 5_629_680.0, 10.0, 10.0, 64, 64)
    period = Period(start=date(2017, 11, 1), end=date(2018, 10, 31))
    assert cube.count(["cube"], period) == 96
    acquisition = cube.catalogue("cube", period, {}).acquisitions[0]
    ((_, image),) = cube.images(acquisition, tiles_of_raster(cube.raster, "cube", 64, None), FetchSettings(), 1)
    with xr.open_dataset(next(p for p in paths if "_20m_" in p.name), mask_and_scale=False) as coarse:
        time = list(coarse.timestamp.values.astype("datetime64[s]").astype(str)).index("2017-11-02T10:52:10")
        assert np.array_equal(image.features[1][::2, ::2], coarse.B05.values[time])
    codes = cube.all_codes("LC")
    assert {int(code): int((codes == code).sum()) for code in np.unique(codes)} == {
        11: 1401,
        13: 835,
        60: 107,
        99: 1753,
    }


@pytest.mark.real_data
def test_slovenia(real_data: Path) -> None:
    cube = _cube(
        real_data / "slovenia_2015_2017",
        features={"NDVI": "data/NDVI"},
        scale=1.0,
        mask={"variable": "mask/CLM", "clear_values": (0,)},
        crs="EPSG:32633",
        bounds=(465181.0522318204, 5079244.8912012065, 466180.53145382757, 5080254.63349641),
    )
    periods = [Period(start=date(year, 1, 1), end=date(year, 12, 31)) for year in (2015, 2016, 2017)]
    assert [cube.count(["cube"], period) for period in periods] == [11, 21, 36]
    tiles = tiles_of_raster(cube.raster, "cube", 128, None)
    clear = [
        image.clear.mean()
        for acquisition in cube.catalogue("cube", periods[1], {}).acquisitions
        for _, image in cube.images(acquisition, tiles, FetchSettings(), 1)
    ]
    assert np.mean(clear) == pytest.approx(0.6100566, abs=1e-6), "the share of CLM = 0 in 2016"
