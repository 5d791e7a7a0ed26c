"""The compare stage on a made-up run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.finished_run import FinishedRun, finished_run

from landseries.artifacts.documents import read_json
from landseries.artifacts.rasters import write_cog
from landseries.errors import Refused
from landseries.grid import Part, Raster, block_parts
from landseries.pipeline import Unit
from landseries_assessor.compare import compare, truth_digests
from landseries_assessor.truth import read_truth

IDS = tuple(range(1, 12))


def _compare(run: FinishedRun, tile: str) -> dict:
    return read_json(run.bench.run(compare, Unit("compare", (tile,)), run.given)["counts.json"])


def test_counts_are_those_of_the_maps(run: FinishedRun):
    tile = next(iter(run.plan.tile.values()))
    place = run.window(tile)
    counts = _compare(run, tile.id)
    whole = counts["scopes"]["whole_area"]
    before, after = (run.maps["single-year"][year][place] for year in (2018, 2019))
    joint = np.array(whole["models"]["single-year"]["joint"]["2018-2019"])
    assert np.trace(joint) == np.count_nonzero(before == after)
    right = np.trace(whole["models"]["multi-year"]["confusion"]["2020"])
    assert right == np.count_nonzero(run.maps["multi-year"][2020][place] == run.truth[2020][place])
    blocks = run.plan.config.blocks
    kept = block_parts(tile, blocks.size_px, blocks.shares, run.plan.config.seed) == Part.PREDICTION
    assert counts["scopes"]["prediction_blocks"]["pixels"] == np.count_nonzero(kept)
    assert whole["pixels"] == tile.width * tile.height


def test_counts_hold_integers_only(run: FinishedRun):
    text = json.dumps(_compare(run, next(iter(run.plan.tile)))["scopes"])
    assert "." not in text


def test_refused_inputs_leave_their_counts_out(run: FinishedRun):
    tile = next(iter(run.plan.tile))
    run.given[Unit("map", (tile, "single-year"))] = "no weights"
    run.given[Unit("reference", (tile,))] = "outside the map"
    run.given[Unit("reliable", (tile,))] = "outside the map"
    whole = _compare(run, tile)["scopes"]["whole_area"]
    assert list(whole["models"]) == ["multi-year"]
    assert whole["reference"] is None


def test_a_tile_without_any_class_is_refused(run: FinishedRun):
    tile = next(iter(run.plan.tile.values()))
    empty = run.folder / "empty.tif"
    write_cog(empty, np.zeros((14, *tile.shape), np.uint8), tile, names=["x"] * 14, nodata=None)
    for model in run.maps:
        run.given[Unit("map", (tile.id, model))] = {"2018.tif": empty}
    with pytest.raises(Refused, match="no model has mapped"):
        _compare(run, tile.id)


def test_without_truth_there_is_none(tmp_path: Path):
    run = finished_run(tmp_path, with_truth=False)
    context = run.bench.context(Unit("compare", (next(iter(run.plan.tile)),)), run.given)
    assert truth_digests(context) == {}
    compare(context)
    assert read_json(context.outputs["counts.json"])["scopes"]["whole_area"]["truth"]["mapped"] == {}


def test_truth_is_known_by_the_pixels_that_the_tile_uses(run: FinishedRun):
    first, *_, last = run.plan.tile.values()

    def digests(tile: str) -> dict:
        return dict(truth_digests(run.bench.context(Unit("compare", (tile,)), run.given)))

    before = digests(first.id), digests(last.id)
    grid = Raster(first.crs, first.left, first.top, 10, 10, 2 * first.width, 2 * first.height)
    changed = run.truth[2019].copy()
    changed[run.window(last)] = 1
    write_cog(run.folder / "truth" / "2019.tif", changed[None], grid, names=["class"], nodata=0)
    assert digests(first.id) == before[0]
    assert {name for name, digest in digests(last.id).items() if digest != before[1][name]} == {"truth 2019"}


def _truth_file(folder: Path, values: np.ndarray, raster: Raster) -> str:
    write_cog(folder / "2018.tif", values[None], raster, names=["class"], nodata=255)
    return str(folder / "{year}.tif")


GRID = Raster("EPSG:32632", 640_000.0, 5_130_000.0, 10.0, 10.0, 8, 6)


def test_truth_of_another_grid_comes_by_nearest_neighbour(tmp_path: Path):
    coarse = Raster("EPSG:32632", 640_000.0, 5_130_000.0, 20.0, 20.0, 4, 3)
    values = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 255]], dtype=np.uint8)
    truth = read_truth(_truth_file(tmp_path, values, coarse), [2018, 2019], GRID, IDS)
    assert list(truth) == [2018]
    expected = np.where(values == 255, 0, values).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(truth[2018], expected)


def test_outside_of_the_truth_nothing_is_known(tmp_path: Path):
    far = Raster("EPSG:32632", 700_000.0, 5_130_000.0, 10.0, 10.0, 8, 6)
    truth = read_truth(_truth_file(tmp_path, np.ones((6, 8), np.uint8), far), [2018], GRID, IDS)
    assert not truth[2018].any()


def test_values_that_are_no_class_ids_are_refused_by_name(tmp_path: Path):
    pattern = _truth_file(tmp_path, np.full((6, 8), 77, np.uint8), GRID)
    with pytest.raises(Refused, match=r"77.*no class ids"):
        read_truth(pattern, [2018], GRID, IDS)


def test_no_file_and_no_raster_are_told_apart(tmp_path: Path):
    with pytest.raises(Refused, match="no file for any"):
        read_truth(str(tmp_path / "{year}.tif"), [2018], GRID, IDS)
    (tmp_path / "2018.tif").write_text("no raster")
    with pytest.raises(Refused, match="cannot be read"):
        read_truth(str(tmp_path / "{year}.tif"), [2018], GRID, IDS)
