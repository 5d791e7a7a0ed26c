"""Results to a folder: the maps, tables and the report that a run's last stages wrote, under their own names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from landseries import __version__
from landseries.artifacts.documents import write_json
from landseries.errors import ArtifactError
from landseries.markers import Damaged
from landseries.openrun import OpenRun
from landseries.pipeline import STAGES
from landseries.plan import RunPlan
from landseries.repairs import repair
from landseries.stores.base import Store
from landseries.summary import summarise

#: Stages whose outputs are results; their names are paths in the result folder.
RESULT_STAGES: Final = ("mosaic", "report")

_LIBRARIES: Final = ("numpy", "rasterio", "scikit-learn", "torch", "zarr", "pyarrow", "numba", "pydantic")


def collect(store: Store, plan: RunPlan, folder: Path) -> list[Path]:
    """Copy a run's results into a folder and write `run.json` beside them; returns what was written.

    Raises:
        ArtifactError: a result is missing in the store, or corrupt; the unit that wrote it is due again.
    """
    run = OpenRun(store, plan)
    try:
        written = list(_copied(run, folder))
    except Damaged as damage:
        repair(store, run, damage)
        raise ArtifactError(
            f"{damage}; start the run again, or `landseries sweep` it where workers do it: it is then written anew"
        ) from damage
    write_json(folder / "run.json", run_document(run))
    return [*written, folder / "run.json"]


def _copied(run: OpenRun, folder: Path) -> Iterator[Path]:
    for stage in RESULT_STAGES:
        for unit, marker in run.markers.all_of(stage):
            for name, output in sorted(marker.outputs.items()):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with run.local(unit, output) as path:
                    incoming = target.with_name(target.name + ".incoming")
                    shutil.copyfile(path, incoming)
                os.replace(incoming, target)
                yield target


def run_document(run: OpenRun) -> dict[str, Any]:
    """What `run.json` says: timings by stage, peak memory, versions, the numerics profile, and the configuration."""
    summary = summarise(item for stage in STAGES for item in run.markers.all_of(stage))
    return {
        "run": run.plan.run_id,
        **summary,
        "versions": {"landseries": __version__, **_versions()},
        "stage_versions": run.plan.stage_versions,
        "numerics": run.plan.numerics.model_dump(mode="json"),
        "config": run.plan.config.model_dump(mode="json"),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
