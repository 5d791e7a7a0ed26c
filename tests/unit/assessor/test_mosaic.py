"""The mosaic stage: tiles at their places, named and coloured, whatever is missing, with the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from support.finished_run import FinishedRun, finished_run

from landseries.errors import Refused
from landseries.grid import Tile
from landseries.pipeline import Unit
from landseries_assessor.mosaic import bounding_grid, mosaic

WEST = Unit("mosaic", ("west", "multi-year"))


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Large enough for overviews: a granule of 600 x 300 pixels whose tiles do not fit the blocks of the files."""
    return finished_run(tmp_path_factory.mktemp("run"), tile_px=300)


@pytest.fixture(scope="module")
def west(big: FinishedRun) -> dict[str, Path]:
    return big.bench.run(mosaic, WEST, big.given)


def test_files_are_named_as_in_the_result_folder(west: dict[str, Path]):
    tifs = {name for name in west if name.endswith(".tif")}
    layers = ("class", "probabilities", "confidence", "clear_views")
    expected = {f"maps/multi-year/{year}/west_{layer}.tif" for year in (2018, 2019, 2020) for layer in layers}
    expected |= {f"composites/{year}/west.tif" for year in (2018, 2019, 2020)} | {"maps/multi-year/changes_west.tif"}
    assert tifs == expected


def test_only_the_first_model_brings_composites(big: FinishedRun):
    outputs = big.bench.run(mosaic, Unit("mosaic", ("east", "single-year")), big.given)
    assert not [name for name in outputs if name.startswith("composites")]


def test_every_tile_lies_at_its_place(big: FinishedRun, west: dict[str, Path]):
    with rasterio.open(west["maps/multi-year/2019/west_class.tif"]) as source:
        np.testing.assert_array_equal(source.read(1), big.maps["multi-year"][2019][:, :300])
        assert (source.bounds.left, source.bounds.top) == (640_000.0, 5_130_000.0)
        assert source.crs.to_epsg() == 32632
    with rasterio.open(west["maps/multi-year/changes_west.tif"]) as source:
        first, second, third = (classes[:, :300] for classes in big.maps["multi-year"].values())
        np.testing.assert_array_equal(source.read(1), (first != second) * 1 + (second != third) * 1)


def test_class_maps_carry_colours_names_and_nearest_overviews(big: FinishedRun, west: dict[str, Path]):
    path = west["maps/multi-year/2018/west_class.tif"]
    with rasterio.open(path) as source:
        assert source.nodata == 0
        assert source.overviews(1)
        assert source.colormap(1)[1][:3] == big.plan.legend.classes[0].rgb
        assert source.tags(1)["category_10"] == "Water"
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        overview = source.read(1, out_shape=(source.height // 2, source.width // 2))
        np.testing.assert_array_equal(overview, source.read(1)[::2, ::2])
    sidecar = west["maps/multi-year/2018/west_class.tif.aux.xml"].read_text(encoding="utf-8")
    assert sidecar.index("<Category>Artificial</Category>") < sidecar.index("<Category>Water</Category>")
    assert sidecar.count("<Row") == 11


def test_every_file_names_whose_data_it_is_made_from(big: FinishedRun, west: dict[str, Path]):
    legend = big.plan.legend
    assert legend.attribution
    for name, path in west.items():
        if name.endswith(".tif"):
            with rasterio.open(path) as source:
                notice = source.tags()["TIFFTAG_COPYRIGHT"]
            assert "modified Copernicus Sentinel data 20" in notice, name
            assert (legend.attribution in notice) == name.startswith("maps/"), name


def test_probabilities_are_one_named_band_per_class(big: FinishedRun, west: dict[str, Path]):
    with rasterio.open(west["maps/multi-year/2018/west_probabilities.tif"]) as source:
        assert source.descriptions == big.plan.legend.names
        assert source.nodata == 255
        classes = big.maps["multi-year"][2018][:, :300]
        np.testing.assert_array_equal(source.read().argmax(axis=0) + 1, classes)


def test_a_refused_tile_stays_without_data(run: FinishedRun):
    lower = next(tile for tile in run.plan.tile.values() if tile.granule == "west" and tile.row == 1)
    run.given[Unit("map", (lower.id, "multi-year"))] = "no series"
    run.given[Unit("index", (lower.id, "2019"))] = "no clear view"
    outputs = run.bench.run(mosaic, WEST, run.given)
    for name, nodata in (("2018/west_class", 0), ("2018/west_confidence", 255), ("changes_west", 255)):
        with rasterio.open(outputs[f"maps/multi-year/{name}.tif"]) as source:
            values = source.read(1)
        assert (values[64:] == nodata).all()
        assert (values[:64] != nodata).all()


def test_a_year_that_no_tile_has_is_left_out(run: FinishedRun):
    for tile in run.plan.tile:
        unit = Unit("map", (tile, "multi-year"))
        run.given[unit] = {name: path for name, path in run.given[unit].items() if name != "2019.tif"}
    outputs = run.bench.run(mosaic, WEST, run.given)
    assert not [name for name in outputs if name.startswith("maps/multi-year/2019")]
    assert "maps/multi-year/2020/west_class.tif" in outputs


def test_no_map_at_all_is_refused(run: FinishedRun):
    for tile in run.plan.tile:
        run.given[Unit("map", (tile, "multi-year"))] = "no weights"
    with pytest.raises(Refused, match="no tile of west"):
        run.bench.run(mosaic, WEST, run.given)


def test_bytes_are_the_same_each_time(run: FinishedRun):
    first, second = (run.bench.run(mosaic, WEST, run.given) for _ in range(2))
    assert first.keys() == second.keys()
    assert all(first[name].read_bytes() == second[name].read_bytes() for name in first)


def test_the_grid_of_a_granule_spans_its_tiles_with_gaps():
    def tile(column: int, row: int) -> Tile:
        return Tile(
            "EPSG:32632", 100.0 * column, 900.0 - 100.0 * row, 10.0, 10.0, 10, 10, f"{column}", "g", column, row
        )

    grid = bounding_grid([tile(2, 1), tile(5, 0)])
    assert (grid.left, grid.top, grid.width, grid.height) == (200.0, 900.0, 40, 20)
