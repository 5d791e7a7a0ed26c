"""A made-up finished run, and what the assessor makes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.finished_run import FinishedRun, finished_run

from landseries.errors import Refused
from landseries.pipeline import Unit
from landseries.service import Context
from landseries_assessor.compare import compare
from landseries_assessor.mosaic import mosaic
from landseries_assessor.report import report

#: Does every stage of the assessor and returns the result folder.
Assess = Callable[[FinishedRun], Path]


@pytest.fixture
def run(tmp_path: Path) -> FinishedRun:
    return finished_run(tmp_path)


@pytest.fixture(scope="session")
def assess_run() -> Assess:
    return _assess


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result folder of an ordinary run: two models, three years, two granules, with truth."""
    return _assess(finished_run(tmp_path_factory.mktemp("ordinary"), tile_px=48))


def _assess(run: FinishedRun) -> Path:
    for tile in run.plan.tile:
        _do(run, compare, Unit("compare", (tile,)))
    for granule in run.plan.extent.tiles_of:
        for model in run.plan.config.models:
            _do(run, mosaic, Unit("mosaic", (granule, model)))
    context = run.bench.context(Unit("report", ()), run.given)
    context._run_markers = lambda: iter(run.markers())
    report(context)
    folder = run.folder / "results"
    mosaics = [files for unit, files in run.given.items() if unit.stage == "mosaic" and not isinstance(files, str)]
    for files in [context.outputs, *mosaics]:
        for name, path in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
    return folder


def _do(run: FinishedRun, handler: Callable[[Context], None], unit: Unit) -> None:
    try:
        run.given[unit] = run.bench.run(handler, unit, run.given)
    except Refused as refused:
        run.given[unit] = str(refused)
