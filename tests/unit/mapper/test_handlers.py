"""The mapper's stage with a small network of random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import shapely
from support.harness import Bench, cube_plan
from support.pixels import pseudo_labelled, random_labels, series_of_labels, write_series

from landseries.artifacts.rasters import read_raster, write_cog
from landseries.errors import ArtifactError, Refused
from landseries.grid import Tile, area_mask
from landseries.neural.weights import NetworkSettings, TrainedNetwork, write_weights
from landseries.pipeline import COUNTS, SERIES, WEIGHTS, Unit
from landseries.plan import RunPlan
from landseries_mapper.handlers import map_tile
from landseries_mapper.inference import MappingNetwork

YEARS = (2018, 2019, 2020)
SIZE = (70, 40)
LABELS = random_labels(SIZE, YEARS)
SERIES_OF = {year: series_of_labels(LABELS[year], seed=year) for year in YEARS}
CLASSES = (1, 2, 3, 7)


def _network(seed: int, features: tuple[str, ...] = ("B04", "B08")) -> TrainedNetwork:
    random = np.random.default_rng(seed)
    settings = NetworkSettings(features=features, dates=5, hidden=8, layers=1, classes=CLASSES)
    shapes = settings.state_shapes()
    state = {name: random.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}
    state["head.bias"] *= 0
    mean = np.full(len(features), 2700, dtype=np.float32)
    return TrainedNetwork(settings, mean, np.full(len(features), 700, dtype=np.float32), state)


def _plan(folder: Path, **fields: Any) -> RunPlan:
    return cube_plan(folder, years=YEARS, size_px=SIZE, tile_size_px=70, models=["multi-year", "single-year"], **fields)


def _given(folder: Path, plan: RunPlan, networks: dict[str, TrainedNetwork]) -> dict[Unit, Any]:
    given: dict[Unit, Any] = dict(pseudo_labelled(folder / "given", plan, LABELS, SERIES_OF))
    weights = folder / WEIGHTS
    write_weights(weights, networks)
    for model in ("multi-year", "single-year"):
        given[Unit("train", ("all", model))] = {WEIGHTS: weights}
    return given


def _tile(plan: RunPlan) -> Tile:
    (tile,) = plan.tile.values()
    return tile


def _unit(plan: RunPlan, model: str = "multi-year") -> Unit:
    return Unit("map", (_tile(plan).id, model))


def _write_counts(given: dict[Unit, Any], tile: Tile, year: int, counts: npt.NDArray[Any]) -> None:
    path = given[Unit("index", (tile.id, str(year)))][COUNTS]
    write_cog(path, counts[np.newaxis].astype(np.uint8), tile, names=["clear_views"], nodata=None)


def test_every_pixel_gets_what_the_network_says(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    network = _network(1)
    files = Bench(plan, tmp_path / "runs").run(map_tile, _unit(plan), _given(tmp_path, plan, {"all": network}))
    assert set(files) == {"2018.tif", "2019.tif", "2020.tif", "changes.tif"}
    maps = []
    for year in YEARS:
        bands = read_raster(files[f"{year}.tif"], _tile(plan))
        labels, probabilities = MappingNetwork(network).predict(SERIES_OF[year])
        steps = np.rint(probabilities * 200)
        assert (bands[0] == labels).all()
        assert (bands[1] == steps.max(axis=0)).all()
        assert (bands[2] == 9).all()
        for class_id, name in zip(plan.legend.ids, plan.legend.names, strict=True):
            with rasterio.open(files[f"{year}.tif"]) as source:
                band = source.descriptions.index(f"p_{name}")
            expected = steps[CLASSES.index(class_id)] if class_id in CLASSES else 0
            assert (bands[band] == expected).all(), name
        maps.append(labels)
    changes = read_raster(files["changes.tif"])[0]
    assert (changes == (maps[0] != maps[1]) * 1 + (maps[1] != maps[2])).all()
    assert len(np.unique(changes)) == 3, "the random maps change never, once and twice"


def test_a_single_year_model_maps_each_year_with_its_own_network(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    networks = {str(year): _network(year) for year in (2018, 2020)}
    bench = Bench(plan, tmp_path / "runs")
    files = bench.run(map_tile, _unit(plan, "single-year"), _given(tmp_path, plan, networks))
    assert set(files) == {"2018.tif", "2020.tif", "changes.tif"}, "2019 has no network"
    for year in (2018, 2020):
        labels, _ = MappingNetwork(networks[str(year)]).predict(SERIES_OF[year])
        assert (read_raster(files[f"{year}.tif"])[0] == labels).all()


def test_few_clear_views_missing_dates_and_outside_are_no_data(tmp_path: Path) -> None:
    west, south, east, north = _tile(_plan(tmp_path)).footprint().bounds
    area = shapely.box(west - 1, south - 1, (west + east) / 2, north + 1)
    plan = _plan(tmp_path, area=area, mapper={"map": {"min_clear_views": 4}})
    tile = _tile(plan)
    given = _given(tmp_path, plan, {"all": _network(1)})
    counts = np.full(SIZE, 9)
    counts[0, :10] = np.arange(10)
    _write_counts(given, tile, 2019, counts)
    series = SERIES_OF[2019].copy()
    series[:, :, 1, :] = -32768
    write_series(given[Unit("index", (tile.id, "2019"))][SERIES], tile, series, plan.features)
    files = Bench(plan, tmp_path / "runs").run(map_tile, _unit(plan), given)
    inside = area_mask(tile, area)
    assert 0.3 < inside.mean() < 0.7
    bands = read_raster(files["2019.tif"])
    expected = inside & (counts >= 4)
    expected[1] = False
    assert ((bands[0] > 0) == expected).all()
    assert (bands[1][~expected] == 255).all()
    assert (bands[3:][:, ~expected] == 255).all()
    assert (bands[3:][:, expected] <= 200).all()
    assert (bands[2] == counts).all(), "clear views explain the gaps"
    changes = read_raster(files["changes.tif"])[0]
    assert ((changes == 255) == ~inside).all(), "two other years have data there"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_threads_change_no_byte(tmp_path: Path, precision: str) -> None:
    plan = _plan(tmp_path)
    plan = plan.model_copy(update={"numerics": plan.numerics.model_copy(update={"precision": precision})})
    given = _given(tmp_path, plan, {"all": _network(1)})
    one = Bench(plan, tmp_path / "one", threads=1).run(map_tile, _unit(plan), given)
    three = Bench(plan, tmp_path / "three", threads=3).run(map_tile, _unit(plan), given)
    for name, path in one.items():
        assert path.read_bytes() == three[name].read_bytes(), name


def test_a_refused_year_has_no_map_and_the_others_go_on(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    given = _given(tmp_path, plan, {"all": _network(1)})
    given[Unit("index", (_tile(plan).id, "2019"))] = "no product of this year"
    files = Bench(plan, tmp_path / "runs").run(map_tile, _unit(plan), given)
    assert set(files) == {"2018.tif", "2020.tif", "changes.tif"}
    first, last = (read_raster(files[f"{year}.tif"])[0] for year in (2018, 2020))
    assert (read_raster(files["changes.tif"])[0] == (first != last)).all()


def test_no_year_with_a_network_is_refused_with_the_reasons(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    given = _given(tmp_path, plan, {"2019": _network(1)})
    given[Unit("index", (_tile(plan).id, "2019"))] = "no product of this year"
    with pytest.raises(Refused, match=r"no network of 2018.*2019 was refused: no product.*no network of 2020"):
        Bench(plan, tmp_path / "runs").run(map_tile, _unit(plan, "single-year"), given)


def test_weights_of_other_features_name_both(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    given = _given(tmp_path, plan, {"all": _network(1, ("B08", "B04"))})
    with pytest.raises(ArtifactError, match=r"index .* 2018 .*train all multi-year.*B08, B04.*B04, B08"):
        Bench(plan, tmp_path / "runs").run(map_tile, _unit(plan), given)


def test_weights_of_another_legend_are_an_error(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    classes = [entry for entry in plan.legend.classes if entry.id != 7]
    fewer = plan.model_copy(update={"legend": plan.legend.model_copy(update={"classes": classes})})
    with pytest.raises(ArtifactError, match=r"classes \[7\]"):
        Bench(fewer, tmp_path / "runs").run(map_tile, _unit(fewer), _given(tmp_path, fewer, {"all": _network(1)}))
