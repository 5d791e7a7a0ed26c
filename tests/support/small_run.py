"""A real run that takes a minute, for comparing what it leaves: embedded or behind a broker, disturbed or not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from landseries.artifacts.documents import digest_of
from landseries.connections import BrokerConnection, StoreConnection
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.plan import read_plan
from landseries.simulation import simulate
from landseries.stores.base import Store
from landseries.stores.minio import MinioStore

from .delivery import Workers, environment, wait_for

_YEARS = (2018, 2019)
_TIMEOUT_S = 900


def simulate_archive(folder: Path, size_px: int = 256) -> Path:
    """A simulated archive, two years; gives the folder."""
    simulate(folder, seed=31, size_px=size_px, years=_YEARS, acquisitions_per_year=12, jobs=2)
    return folder


def configuration(archive: Path, name: str, tile_px: int = 128) -> dict[str, Any]:
    """A configuration over the archive: small samples, few trees, few epochs."""
    return {
        "name": name,
        "area": {"geojson": str(archive / "area.geojson")},
        "years": list(_YEARS),
        "source": {"kind": "safe", "path": str(archive / "products")},
        "reference": {"path": str(archive / "reference" / "clc2018.tif"), "year": 2018},
        "truth": {"path": str(archive / "truth" / "{year}.tif")},
        "grid": {"tile_size_px": tile_px},
        "pseudolabeler": {"forest": {"trees": 20, "samples_per_class": 400}},
        "sampler": {"dataset": {"training_samples": 1500, "validation_samples": 600}},
        "trainer": {"train": {"hidden": 16, "epochs": 3}},
    }


def write_config(folder: Path, content: dict[str, Any]) -> Path:
    """Write a configuration into a folder, under its run's name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{content['name']}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def landseries(variables: dict[str, str], *arguments: object) -> str:
    """Run a command that must succeed; what it prints."""
    command = [sys.executable, "-m", "landseries", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, env=variables, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_embedded(config: Path, workdir: Path, jobs: int) -> float:
    """`landseries run`; the seconds it took."""
    started = time.perf_counter()
    landseries({**os.environ, "COLUMNS": "200"}, "run", config, "--workdir", workdir, "--jobs", jobs)
    return time.perf_counter() - started


def run_distributed(
    config: Path, name: str, broker: BrokerConnection, store: StoreConnection, workers: Workers
) -> float:
    """`landseries submit`, until the workers that are there have answered the report; the seconds it took."""
    started = time.perf_counter()
    landseries(environment(broker, store), "submit", config)
    opened = MinioStore(store)
    plan = read_plan(opened, name)
    assert plan is not None
    report = OpenRun(opened, plan).markers
    wait_for("the report", lambda: report.answered(Unit("report", ())), _TIMEOUT_S, workers.log)
    return time.perf_counter() - started


def check_same_artifacts(ours: dict[str, str], others: dict[str, str]) -> None:
    """Whether two runs left the same artifacts to the byte, and not just a few."""
    assert sorted(ours) == sorted(others)
    assert [key for key in ours if ours[key] != others[key]] == []
    assert len(ours) > 50


def artifacts(store: Store) -> dict[str, str]:
    """The SHA-256 of every artifact but the report, which is a rendering."""
    keys = [item.key for item in store.list("artifacts/") if not item.key.startswith("artifacts/report/")]
    return {key: digest_of(store.get(key) or b"") for key in keys}
