"""One small simulated archive for all end-to-end tests, and a way to run the command line as a person does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from landseries.simulation import simulate

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated archive of 256 by 256 pixels, two years."""
    folder = tmp_path_factory.mktemp("archive")
    simulate(folder, seed=31, size_px=256, years=(2018, 2019), acquisitions_per_year=12, jobs=2)
    return folder


@pytest.fixture(scope="session")
def small_run(archive: Path) -> dict[str, Any]:
    """A configuration over the archive whose run takes a minute: four tiles, small samples, few epochs."""
    return {
        "name": "small",
        "area": {"geojson": str(archive / "area.geojson")},
        "years": [2018, 2019],
        "source": {"kind": "safe", "path": str(archive / "products")},
        "reference": {"path": str(archive / "reference" / "clc2018.tif"), "year": 2018},
        "truth": {"path": str(archive / "truth" / "{year}.tif")},
        "grid": {"tile_size_px": 128},
        "pseudolabeler": {"forest": {"trees": 20, "samples_per_class": 400}},
        "sampler": {"dataset": {"training_samples": 1500, "validation_samples": 600}},
        "trainer": {"train": {"hidden": 16, "epochs": 3}},
    }


def write_config(folder: Path, content: dict[str, Any]) -> Path:
    """Write a configuration into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{content['name']}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Run `landseries` with arguments; the output is text."""

    def call(*arguments: object, timeout_s: float = 900) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "landseries", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, "COLUMNS": "200"},
        )

    return call
