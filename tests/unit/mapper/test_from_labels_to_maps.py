"""Sampler, trainer and mapper after one another: what one writes is what the next one reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from support.harness import Bench, cube_plan
from support.pixels import cut, pseudo_labelled, random_labels, series_of_labels
from support.sampling import DATASET, datasets

from landseries.artifacts.rasters import read_raster
from landseries.grid import Part, block_parts
from landseries.pipeline import Unit
from landseries_mapper.handlers import map_tile
from landseries_trainer.handlers import train

YEARS = (2018, 2019)
MODELS = ["multi-year", "single-year"]


def test_networks_label_the_prediction_blocks_as_the_pixels_were_made(tmp_path: Path) -> None:
    plan = cube_plan(
        tmp_path,
        years=YEARS,
        features=("B04", "B08", "B11"),
        size_px=(64, 96),
        tile_size_px=64,
        models=MODELS,
        blocks={"size_px": 8},
        sampler={"dataset": {"training_samples": 600, "validation_samples": 200}},
        trainer={"train": {"hidden": 16, "epochs": 8, "batch_size": 64, "learning_rate": 0.02}},
    )
    labels = random_labels((64, 96), YEARS, change=0.1)
    series = {year: series_of_labels(labels[year], features=3, seed=year) for year in YEARS}
    bench = Bench(plan, tmp_path / "runs")
    given: dict[Unit, Any] = dict(pseudo_labelled(tmp_path / "given", plan, labels, series))
    given[DATASET] = datasets(bench, given)
    for model in MODELS:
        unit = Unit("train", ("all", model))
        given[unit] = bench.run(train, unit, given)
        for tile in plan.tile.values():
            files = bench.run(map_tile, Unit("map", (tile.id, model)), given)
            unseen = block_parts(tile, 8, plan.config.blocks.shares, plan.config.seed) == Part.PREDICTION
            for year in YEARS:
                truth = np.asarray(cut(labels[year], tile, 64))
                known = unseen & (truth > 0)
                found = read_raster(files[f"{year}.tif"], tile)[0]
                assert (found == truth)[known].mean() > 0.9, (model, tile.id, year)
