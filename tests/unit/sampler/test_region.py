"""The datasets of many tiles against a selection over all tiles at once, and how little is opened for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.harness import Bench, cube_plan
from support.pixels import cut, pseudo_labelled, random_labels, series_of_labels
from support.sampling import DATASET, QUOTAS, datasets, sampled

from landseries.artifacts.documents import read_json
from landseries.artifacts.tables import read_columns
from landseries.errors import ArtifactError, Refused
from landseries.grid import Part, Tile, block_parts
from landseries.pipeline import SERIES, Unit
from landseries.plan import RunPlan
from landseries.priority import pixel_priority
from landseries_sampler.handlers import dataset, sample
from landseries_sampler.quotas import equal_quotas

YEARS = (2018, 2019)
SIZE = (96, 96)
TILE_PX = 32
Labels = dict[int, npt.NDArray[np.uint8]]
#: A line of a table: split, year, class, x, y and the series.
Line = tuple[int, int, int, float, float, tuple[int, ...]]


def _plan(folder: Path, training: int, validation: int, cap: int, seed: int) -> RunPlan:
    sampler = {
        "sample": {"candidates_per_class": cap},
        "dataset": {"training_samples": training, "validation_samples": validation},
    }
    fields = {"models": ["multi-year", "single-year"], "blocks": {"size_px": 4}, "sampler": sampler, "seed": seed}
    return cube_plan(folder, years=YEARS, size_px=SIZE, tile_size_px=TILE_PX, **fields)


def _labels(seed: int) -> Labels:
    """Of four classes, and of a fifth one that is in one tile only."""
    labels = random_labels(SIZE, YEARS, classes=4, seed=seed)
    for of_year in labels.values():
        of_year[40:44, 38:50] = 5
    return labels


def _expected(
    plan: RunPlan, labels: Labels, series: Mapping[int, npt.NDArray[np.int16]], missing: set[tuple[str, int]]
) -> dict[str, list[Line]]:
    """Both tables, chosen among the pixels of all tiles at once."""
    agreeing: list[Any] = []
    own: dict[int, list[Any]] = {year: [] for year in YEARS}
    for place, tile in enumerate(plan.tile.values()):
        here = [year for year in YEARS if (tile.id, year) not in missing]
        of_tile = {year: np.asarray(cut(labels[year], tile, TILE_PX)) for year in here}
        for year, found in of_tile.items():
            own[year] += _candidates(plan, tile, place, found, f"sample own {year}")
        if len(here) == len(YEARS):
            same = np.where(of_tile[2018] == of_tile[2019], of_tile[2018], 0)
            agreeing += _candidates(plan, tile, place, same, "sample agreeing")
    lines: dict[str, list[Line]] = {"multi-year": [], "single-year": []}
    for split, part in enumerate((Part.TRAINING, Part.VALIDATION)):
        for year in YEARS:
            for model, pixels in (("multi-year", agreeing), ("single-year", own[year])):
                for class_id, tile, row, column in _taken(plan, pixels, part):
                    x, y = tile.left + (column + 0.5) * 10, tile.top - (row + 0.5) * 10
                    values = cut(series[year], tile, TILE_PX)[:, :, row, column].ravel()
                    lines[model].append((split, year, class_id, x, y, tuple(values.tolist())))
    return lines


def _candidates(plan: RunPlan, tile: Tile, place: int, stratum: npt.NDArray[Any], stream: str) -> list[Any]:
    parts = block_parts(tile, 4, plan.config.blocks.shares, plan.config.seed)
    priority = pixel_priority(tile, plan.config.seed, stream)
    groups: dict[tuple[int, int], list[Any]] = {}
    for row in range(tile.height):
        for column in range(tile.width):
            if stratum[row, column]:
                found = (int(priority[row, column]), place, row, column, tile)
                groups.setdefault((int(parts[row, column]), int(stratum[row, column])), []).append(found)
    cap = plan.config.sampler.sample.candidates_per_class
    return [(*group, *one) for group, found in groups.items() for one in sorted(found, key=_by_place)[:cap]]


def _by_place(found: tuple[Any, ...]) -> tuple[Any, ...]:
    return found[:-1]


def _taken(plan: RunPlan, pixels: list[Any], part: Part) -> list[tuple[int, Tile, int, int]]:
    wanted = plan.config.sampler.dataset
    total = wanted.training_samples if part is Part.TRAINING else wanted.validation_samples
    of_class: dict[int, list[Any]] = {}
    for of_part, class_id, *found in pixels:
        if of_part == part:
            of_class.setdefault(class_id, []).append(tuple(found))
    quotas = equal_quotas({class_id: len(found) for class_id, found in of_class.items()}, total)
    return [
        (class_id, tile, row, column)
        for class_id, quota in quotas.items()
        for _, _, row, column, tile in sorted(of_class[class_id], key=_by_place)[:quota]
    ]


def _lines(path: Path) -> list[Line]:
    columns = read_columns(path, "split", "year", "class", "x", "y", "series")
    values = [columns[name].tolist() for name in ("split", "year", "class", "x", "y")]
    return list(zip(*values, map(tuple, columns["series"].tolist()), strict=True))


@settings(max_examples=6, deadline=None)
@given(
    training=st.integers(20, 400),
    validation=st.integers(10, 700),
    cap=st.integers(10, 60),
    seed=st.integers(0, 99),
    refused=st.booleans(),
)
def test_datasets_are_those_of_a_selection_over_all_tiles(
    tmp_path_factory: pytest.TempPathFactory, training: int, validation: int, cap: int, seed: int, refused: bool
) -> None:
    folder = tmp_path_factory.mktemp("region")
    plan = _plan(folder, training, validation, cap, seed)
    labels = _labels(seed)
    series = {year: series_of_labels(labels[year], seed=year) for year in YEARS}
    given: dict[Unit, Any] = dict(pseudo_labelled(folder / "given", plan, labels, series))
    missing = {(list(plan.tile)[seed % len(plan.tile)], 2019)} if refused else set()
    for tile, year in missing:
        for stage in ("pseudolabel", "index"):
            given[Unit(stage, (tile, str(year)))] = "clouds"
    files = datasets(Bench(plan, folder / "runs"), given)
    for model, expected in _expected(plan, labels, series, missing).items():
        assert _lines(files[f"{model}.parquet"]) == expected, model


def _few(folder: Path) -> tuple[RunPlan, dict[Unit, Any]]:
    """A region that takes thirty pixels of each stratum, of whose tiles three have few labels; what it begins with."""
    plan = _plan(folder, 20, 10, 100, 0)
    labels = _labels(0)
    for of_year in labels.values():
        few = of_year[::9, 64::7].copy()
        of_year[:, 64:] = 0
        of_year[::9, 64::7] = few
    series = {year: series_of_labels(labels[year], seed=year) for year in YEARS}
    return plan, dict(pseudo_labelled(folder / "given", plan, labels, series))


def test_only_what_the_region_takes_is_opened_and_written(tmp_path: Path) -> None:
    plan, given = _few(tmp_path)
    answers: dict[Unit, Any] = sampled(Bench(plan, tmp_path / "runs"), given)
    whole = datasets(Bench(plan, tmp_path / "whole"), given)
    drawn = {tile: read_json(answers[Unit("sample", (tile,))]["drawn.json"]) for tile in plan.tile}
    assert min(len(strata) for strata in drawn.values()) < 3, "some tile gives nothing of some stratum"
    taken = sum(len(_lines(whole[f"{model}.parquet"])) // of for model, of in (("multi-year", 2), ("single-year", 1)))
    assert taken == 3 * 30
    assert sum(sum(strata.values()) for strata in drawn.values()) <= 1.2 * taken
    for tile, strata in drawn.items():
        names = {"agreeing": "candidates.parquet"} | {str(year): f"own_{year}.parquet" for year in YEARS}
        assert set(answers[Unit("sample", (tile,))]) == {"drawn.json", *(names[one] for one in strata)}
        for year in YEARS:
            if not {"agreeing", str(year)} & set(strata):
                given[Unit("index", (tile, str(year)))][SERIES].write_bytes(b"never read")
            if not strata:
                given[Unit("pseudolabel", (tile, str(year)))]["labels.tif"].write_bytes(b"never read")
    some = next(tile for tile, strata in drawn.items() if "agreeing" in strata)
    spoilt = tmp_path / "spoilt.zip"
    spoilt.write_bytes(b"read")
    with pytest.raises(ArtifactError, match=r"spoilt\.zip: cannot be read as a series"):
        _sample_again(plan, tmp_path / "spoilt", answers | {Unit("index", (some, "2018")): {SERIES: spoilt}})
    assert _sample_again(plan, tmp_path / "again", answers | given) == {
        tile: {name: path.read_bytes() for name, path in answers[Unit("sample", (tile,))].items()} for tile in plan.tile
    }


def _sample_again(plan: RunPlan, folder: Path, answers: dict[Unit, Any]) -> dict[str, dict[str, bytes]]:
    bench = Bench(plan, folder)
    written = {tile: bench.run(sample, Unit("sample", (tile,)), answers) for tile in plan.tile}
    return {tile: {name: path.read_bytes() for name, path in files.items()} for tile, files in written.items()}


def test_series_of_another_length_in_one_tile_are_an_error_that_names_it(tmp_path: Path) -> None:
    plan, given = _few(tmp_path)
    labels = _labels(0)
    longer = {year: series_of_labels(labels[year], dates=6, seed=year) for year in YEARS}
    other = pseudo_labelled(tmp_path / "other", plan, labels, longer)
    tile = list(plan.tile)[4]
    mixed = {unit: other[unit] if unit["tile"] == tile else files for unit, files in given.items()}
    answers = sampled(Bench(plan, tmp_path / "runs"), mixed)
    with pytest.raises(ArtifactError, match=r"sample .*: series of 1[02] values, those of other tiles have 1[02]"):
        Bench(plan, tmp_path / "end").run(dataset, DATASET, answers)


def test_a_region_without_pixels_is_refused_with_what_would_help(tmp_path: Path) -> None:
    plan, given = _few(tmp_path)
    labels = {year: np.zeros(SIZE, dtype=np.uint8) for year in YEARS}
    series = {year: series_of_labels(labels[year], seed=year) for year in YEARS}
    nothing = pseudo_labelled(tmp_path / "nothing", plan, labels, series)
    with pytest.raises(Refused, match=r"no tile has a pixel to sample; look at the pseudo-labels, or enlarge"):
        sampled(Bench(plan, tmp_path / "runs"), given | nothing)


def test_quotas_carry_what_the_summary_tells(tmp_path: Path) -> None:
    plan, given = _few(tmp_path)
    answers: dict[Unit, Any] = sampled(Bench(plan, tmp_path / "runs"), given)
    found = read_json(answers[QUOTAS]["quotas.json"])
    summary = read_json(Bench(plan, tmp_path / "end").run(dataset, DATASET, answers)["summary.json"])
    assert found["pixels"] == summary["pixels"]
    assert sum(found["pixels"].values()) == SIZE[0] * SIZE[1]
    assert found["crs"] == summary["crs"] == ["EPSG:32632"]
    assert set(found["strata"]) == set(summary["candidates"]) == {"agreeing", "2018", "2019"}
    available = {
        stratum: sorted(one["available"] for classes in parts.values() for one in classes.values())
        for stratum, parts in found["strata"].items()
    }
    told = {
        stratum: sorted(count for classes in parts.values() for count in classes.values())
        for stratum, parts in summary["candidates"].items()
    }
    assert available == told
