"""A small table of annual series and a plan to train on it in any number of processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from landseries.artifacts.tables import write_table
from landseries.numerics import NumericsProfile
from landseries.pipeline import Unit
from support.harness import Bench, cube_plan
from support.phenologies import phenologies

FEATURES = ("B03", "B04", "B08", "B11")
DATES = 12
DATASET = Unit("dataset", ("all",))
TRAIN = Unit("train", ("all", "multi-year"))
#: Neither batches of the training series nor parts of the batches are of equal size.
TRAINING_SERIES = 601


def write_training_table(path: Path) -> Path:
    """601 training and 200 validation series of four classes, with weights."""
    series, labels = phenologies(TRAINING_SERIES + 200, 1, dates=DATES, features=len(FEATURES), classes=4, spread=0.7)
    count = len(labels)
    write_table(
        path,
        {
            "split": (np.arange(count) >= TRAINING_SERIES).astype(np.uint8),
            "year": np.full(count, 2018, np.int16),
            "class": labels,
            "weight": np.random.default_rng(2).uniform(0.5, 1.5, count).astype(np.float32),
            "series": series.reshape(count, -1),
        },
    )
    return path


def training_bench(folder: Path, name: str, *, processes: int, precision: str = "float32", **train: Any) -> Bench:
    """A bench whose runs train in so many processes."""
    settings = {"hidden": 16, "epochs": 5, "batch_size": 64, "learning_rate": 0.01} | train
    profile = NumericsProfile.model_validate({"precision": precision, "training_processes": processes})
    plan = cube_plan(
        folder, years=[2018], features=FEATURES, models=["multi-year"], trainer={"train": settings}, numerics=profile
    )
    return Bench(plan, folder / name)


def given_table(folder: Path) -> dict[Unit, dict[str, Path]]:
    """What the dataset answered."""
    return {DATASET: {"multi-year.parquet": write_training_table(folder / "multi-year.parquet")}}
