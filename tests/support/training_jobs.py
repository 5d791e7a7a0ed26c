"""A job's folder with a training to do, as the bridge lays it out, and what a command made of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from landseries.artifacts.documents import digest_of_file
from landseries.artifacts.fingerprint import artifact_key
from landseries.markers import Marker, Output
from landseries.messages import encode
from landseries.numerics import NumericsProfile
from landseries.offline import UnitList
from landseries.openrun import OpenRun
from landseries.pipeline import WEIGHTS
from landseries.plan import freeze_plan
from landseries.stores.local import LocalStore
from support.harness import cube_plan
from support.training_tables import DATASET, FEATURES, TRAIN, write_training_table

UNITS: Final = "units.json"
#: How `landseries` is called in these tests; a group's environment reaches the training through two more processes.
LANDSERIES: Final = ("-m", "landseries")
_TIMEOUT_S: Final = 300


class TrainingJob:
    """A folder that holds a run of which the training is due."""

    def __init__(self, folder: Path, *, processes: int = 2) -> None:
        """Lay it out; `processes` are those that the run is planned for."""
        self.folder = folder
        settings = {"hidden": 16, "epochs": 5, "batch_size": 64, "learning_rate": 0.01}
        plan = cube_plan(
            folder,
            years=[2018],
            features=FEATURES,
            models=["multi-year"],
            trainer={"train": settings},
            numerics=NumericsProfile(training_processes=processes),
        )
        store = LocalStore(folder / "store")
        freeze_plan(store, plan)
        self._run = OpenRun(store, plan)
        table = write_training_table(folder / "multi-year.parquet")
        digest = digest_of_file(table)
        key = artifact_key(DATASET.stage, digest, table.name)
        store.put(key, table)
        output = Output(key=key, digest=digest, size_bytes=table.stat().st_size)
        self._run.markers.put(DATASET, Marker(status="done", outputs={table.name: output}))
        units = UnitList(messages=(encode(plan.run_id, TRAIN),))
        (folder / UNITS).write_text(units.model_dump_json())

    @property
    def arguments(self) -> list[str]:
        """What follows `landseries`."""
        return ["offline", str(self.folder), "--units", str(self.folder / UNITS)]

    def answer(self) -> dict[str, str]:
        """Digest of every output of the training."""
        marker = self._run.markers.get(TRAIN)
        assert marker is not None
        assert marker.status == "done", marker.reason
        assert WEIGHTS in marker.outputs
        return {name: output.digest for name, output in marker.outputs.items()}


def trained_by(folder: Path, *before: str, processes: int = 2) -> tuple[dict[str, str], str]:
    """Train a job with a command that ends in `-m landseries offline ...`; digests, and all that was said.

    Args:
        folder: where the job is laid out; it must not exist.
        before: the command's beginning; default this interpreter.
        processes: training processes that the run is planned for.
    """
    folder.mkdir()
    job = TrainingJob(folder, processes=processes)
    command = [*(before or (sys.executable,)), *LANDSERIES, *job.arguments]
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "MASTER_"))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, env=alone)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return job.answer(), done.stdout + done.stderr
