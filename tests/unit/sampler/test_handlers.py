"""The sampler's stages on small tiles of random labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from support.harness import Bench, cube_plan
from support.pixels import pseudo_labelled, random_labels, series_of_labels, write_series
from support.sampling import datasets, sampled

from landseries.artifacts.documents import read_json
from landseries.artifacts.tables import read_columns
from landseries.errors import ArtifactError, Refused
from landseries.grid import Part, block_parts
from landseries.pipeline import SERIES, Unit
from landseries.plan import RunPlan

YEARS = (2018, 2019, 2020)
SIZE = (96, 96)
MODELS = ["multi-year", "single-year", "single-year-agreeing", "multi-year-equal"]
LABELS = random_labels(SIZE, YEARS)
SERIES_OF = {year: series_of_labels(LABELS[year], seed=year) for year in YEARS}


def _plan(folder: Path, tile_size_px: int = 96, **fields: Any) -> RunPlan:
    sampler = {"dataset": {"training_samples": 200, "validation_samples": 100}}
    defaults = {"models": MODELS, "blocks": {"size_px": 8}, "sampler": sampler}
    return cube_plan(folder, years=YEARS, size_px=SIZE, tile_size_px=tile_size_px, **{**defaults, **fields})


def _dataset(folder: Path, plan: RunPlan, labels: Mapping[int, npt.NDArray[Any]] = LABELS) -> dict[str, Path]:
    return datasets(Bench(plan, folder / "runs"), pseudo_labelled(folder / "given", plan, labels, SERIES_OF))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The datasets of all models from one tile."""
    folder = tmp_path_factory.mktemp("written")
    return _dataset(folder, _plan(folder))


def test_no_sample_comes_from_a_prediction_block(tmp_path: Path, written: dict[str, Path]) -> None:
    plan = _plan(tmp_path)
    (tile,) = plan.tile.values()
    parts = block_parts(tile, 8, plan.config.blocks.shares, plan.config.seed)
    assert (parts == Part.PREDICTION).any()
    for model in MODELS:
        columns = read_columns(written[f"{model}.parquet"])
        row = ((tile.top - columns["y"]) / 10).astype(int)
        column = ((columns["x"] - tile.left) / 10).astype(int)
        expected = np.where(columns["split"] == 0, Part.TRAINING, Part.VALIDATION)
        assert (parts[row, column] == expected).all(), model


def test_lines_carry_the_label_and_series_of_their_pixel_and_year(tmp_path: Path, written: dict[str, Path]) -> None:
    (tile,) = _plan(tmp_path).tile.values()
    for model in MODELS:
        columns = read_columns(written[f"{model}.parquet"])
        row = ((tile.top - columns["y"]) / 10).astype(int)
        column = ((columns["x"] - tile.left) / 10).astype(int)
        for year in YEARS:
            mine = columns["year"] == year
            assert mine.any()
            assert (LABELS[year][row[mine], column[mine]] == columns["class"][mine]).all(), model
            series = SERIES_OF[year][:, :, row[mine], column[mine]]
            assert (columns["series"][mine] == series.reshape(-1, mine.sum()).T).all(), model
        if model != "single-year":
            same = np.all([LABELS[year][row, column] == columns["class"] for year in YEARS], axis=0)
            assert same.all(), "samples of agreeing pixels only"


def test_sizes_are_those_of_the_method(written: dict[str, Path]) -> None:
    size = {}
    for model in MODELS:
        columns = read_columns(written[f"{model}.parquet"], "split", "year", "class", "x", "y")
        for split in (0, 1):
            for year in YEARS:
                mine = (columns["split"] == split) & (columns["year"] == year)
                size[model, split, year] = np.unique(columns["class"][mine], return_counts=True)[1].tolist()
    for split, per_class in ((0, 50), (1, 25)):
        for year in YEARS:
            for model in MODELS[:3]:
                assert size[model, split, year] == [per_class] * 4
        equal = np.array([size["multi-year-equal", split, year] for year in YEARS])
        assert equal.sum(axis=0).tolist() == [per_class] * 4, "as many series as one single-year network"
        assert equal.max() - equal.min() <= 1, "years balanced within each class"


def test_multi_year_pools_the_years_of_the_same_pixels(written: dict[str, Path]) -> None:
    columns = read_columns(written["multi-year.parquet"], "split", "year", "x", "y")
    places = [
        set(zip(columns["x"][columns["year"] == year], columns["y"][columns["year"] == year], strict=True))
        for year in YEARS
    ]
    assert places[0] == places[1] == places[2]
    equal = read_columns(written["multi-year-equal.parquet"], "x", "y")
    assert set(zip(equal["x"], equal["y"], strict=True)) == places[0]
    assert len(equal["x"]) == len(places[0])


def test_a_single_year_sample_knows_nothing_of_the_other_years(tmp_path: Path, written: dict[str, Path]) -> None:
    others = random_labels(SIZE, YEARS, seed=99)
    others[2019] = LABELS[2019]
    again = _dataset(tmp_path, _plan(tmp_path), others)
    before, after = (read_columns(files["single-year.parquet"]) for files in (written, again))
    for name, values in before.items():
        assert (values[before["year"] == 2019] == after[name][after["year"] == 2019]).all(), name
    assert (before["x"][before["year"] == 2018] != after["x"][after["year"] == 2018]).any()


def test_single_year_samples_of_two_years_are_draws_of_their_own(written: dict[str, Path]) -> None:
    columns = read_columns(written["single-year.parquet"], "year", "x", "y")
    places = {
        year: set(zip(columns["x"][columns["year"] == year], columns["y"][columns["year"] == year], strict=True))
        for year in YEARS
    }
    assert len(places[2018] & places[2019]) < 0.3 * len(places[2018])


@pytest.mark.parametrize("tile_size_px", [48, 32])
def test_bytes_do_not_depend_on_where_tiles_are_cut(
    tmp_path: Path, written: dict[str, Path], tile_size_px: int
) -> None:
    again = _dataset(tmp_path, _plan(tmp_path, tile_size_px))
    assert set(again) == set(written)
    for name, path in written.items():
        assert path.read_bytes() == again[name].read_bytes(), name


def test_candidates_are_capped_per_class_and_part(tmp_path: Path) -> None:
    plan = _plan(tmp_path, sampler={"sample": {"candidates_per_class": 10}})
    given = pseudo_labelled(tmp_path / "given", plan, LABELS, SERIES_OF)
    files = sampled(Bench(plan, tmp_path / "runs"), given)[Unit("sample", tuple(plan.tile))]
    assert not isinstance(files, str)
    assert set(files) == {"candidates.parquet", *(f"own_{year}.parquet" for year in YEARS), "drawn.json"}
    for name in set(files) - {"drawn.json"}:
        columns = read_columns(files[name], "part", "class")
        _, counts = np.unique(np.column_stack(list(columns.values())), axis=0, return_counts=True)
        assert counts.tolist() == [10] * 8


def test_summary_counts_what_the_tables_hold(written: dict[str, Path]) -> None:
    summary = read_json(written["summary.json"])
    assert summary["models"]["multi-year"]["training"]["2019"] == {
        "Artificial": 50,
        "Grass": 50,
        "Crops": 50,
        "Mineral": 50,
    }
    assert sum(summary["pixels"].values()) == 96 * 96
    agreeing = np.all([LABELS[year] == LABELS[2018] for year in YEARS], axis=0) & (LABELS[2018] > 0)
    candidates = summary["candidates"]["agreeing"]
    assert sum(sum(counts.values()) for counts in candidates.values()) < agreeing.sum()
    assert summary["left_out"] == {model: {} for model in MODELS}


def test_pixels_outside_the_area_are_never_sampled(tmp_path: Path) -> None:
    whole = next(iter(_plan(tmp_path).tile.values())).footprint().bounds
    west = shapely.box(whole[0] - 1, whole[1] - 1, (whole[0] + whole[2]) / 2, whole[3] + 1)
    files = _dataset(tmp_path, _plan(tmp_path, area=west))
    (tile,) = _plan(tmp_path).tile.values()
    columns = read_columns(files["single-year.parquet"], "x")
    assert columns["x"].max() < tile.left + 10 * 50
    assert sum(read_json(files["summary.json"])["pixels"].values()) < 0.55 * 96 * 96


def test_a_refused_year_leaves_the_own_samples_of_the_others_as_they_were(
    tmp_path: Path, written: dict[str, Path]
) -> None:
    plan = _plan(tmp_path)
    (tile,) = plan.tile
    given: dict[Unit, Any] = dict(pseudo_labelled(tmp_path / "given", plan, LABELS, SERIES_OF))
    for stage in ("pseudolabel", "index"):
        given[Unit(stage, (tile, "2019"))] = "the archive has no product of this year"
    files = datasets(Bench(plan, tmp_path / "runs"), given)
    before, after = (read_columns(found["single-year.parquet"]) for found in (written, files))
    assert set(np.unique(after["year"]).tolist()) == {2018, 2020}
    for name, values in before.items():
        assert (values[before["year"] != 2019] == after[name]).all()
    pooled = read_columns(files["multi-year.parquet"], "year", "x")
    assert (pooled["year"] == 2018).sum() == (pooled["year"] == 2020).sum() == 300
    summary = read_json(files["summary.json"])
    assert "2019" in summary["left_out"]["single-year"]
    equal = summary["models"]["multi-year-equal"]["training"]
    assert set(equal) == {"2018", "2020"}


def test_one_class_alone_is_refused_with_what_would_be_right(tmp_path: Path) -> None:
    labels = {year: np.full(SIZE, 7, dtype=np.uint8) for year in YEARS}
    with pytest.raises(Refused, match="samples of 1 classes, two are needed"):
        _dataset(tmp_path, _plan(tmp_path), labels)


def test_no_label_at_all_is_refused_by_the_region_only(tmp_path: Path) -> None:
    labels = {year: np.zeros(SIZE, dtype=np.uint8) for year in YEARS}
    with pytest.raises(Refused, match="no network can be trained"):
        _dataset(tmp_path, _plan(tmp_path), labels)


def test_series_of_other_dates_are_an_error_that_names_both(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    (tile,) = plan.tile.values()
    given = pseudo_labelled(tmp_path / "given", plan, LABELS, SERIES_OF)
    path = given[Unit("index", (tile.id, "2020"))][SERIES]
    write_series(path, tile, series_of_labels(LABELS[2020], dates=6), plan.features)
    with pytest.raises(ArtifactError, match=r"index .* 2020.*days.*another year"):
        sampled(Bench(plan, tmp_path / "runs"), given)


def test_series_of_other_features_are_an_error_that_names_both(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    (tile,) = plan.tile.values()
    given = pseudo_labelled(tmp_path / "given", plan, LABELS, SERIES_OF)
    write_series(given[Unit("index", (tile.id, "2018"))][SERIES], tile, SERIES_OF[2018], ("B03", "B08"))
    with pytest.raises(ArtifactError, match=r"B03, B08.*B04, B08"):
        sampled(Bench(plan, tmp_path / "runs"), given)
