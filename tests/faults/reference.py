"""The run that nothing disturbs: a simulated archive, a configuration over it, and what an embedded run makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from landseries.cli.console import known_plan
from landseries.markers import Marker
from landseries.openrun import OpenRun
from landseries.pipeline import STAGES, Unit
from landseries.stores.base import Store
from landseries.stores.local import LocalStore
from tests.support.small_run import artifacts, configuration, simulate_archive, write_config

RUN: Final = "faults"
#: Seconds that a unit costs besides its own work, so that progress counts units as well as their length.
_EACH_S: Final = 0.3
_RUN_S: Final = 900


@dataclass(frozen=True)
class Answers:
    """What a run answered.

    Attributes:
        units: by unit: the status, the fingerprint and the outputs' digests, in a form that can be compared.
        artifacts: SHA-256 by key.
        seconds: by unit: how long it took.
    """

    units: dict[Unit, dict[str, Any]]
    artifacts: dict[str, str]
    seconds: dict[Unit, float]

    def weight(self, units: Iterable[Unit]) -> float:
        """Share (0 to 1) of the run's work that some units are."""
        return sum(self.seconds.get(unit, 0.0) for unit in units) / sum(self.seconds.values())


def prepare(folder: Path, archive: Path | None, *, size_px: int, tile_px: int) -> Path:
    """Simulate an archive where none is given, and write the configuration; returns the configuration's path."""
    return write_config(folder, configuration(archive or simulate_archive(folder / "archive", size_px), RUN, tile_px))


def undisturbed(config: Path, folder: Path) -> Answers:
    """Run it in one process tree, with a folder as the store.

    Raises:
        RuntimeError: the run failed; with what it said.
    """
    command = [sys.executable, "-m", "landseries", "run", str(config), "--workdir", str(folder), "--jobs", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=_RUN_S, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"the undisturbed run failed:\n{ended.stdout}\n{ended.stderr}")
    return answers(LocalStore(folder / "store"))


def answers(store: Store) -> Answers:
    """What the run in a store answered; the report renders the run itself, so only its status counts."""
    markers = dict(_markers(store))
    return Answers(
        units={unit: _comparable(unit, marker) for unit, marker in markers.items()},
        artifacts=artifacts(store),
        seconds={unit: marker.seconds + _EACH_S for unit, marker in markers.items()},
    )


def _markers(store: Store) -> Iterable[tuple[Unit, Marker]]:
    run = OpenRun(store, known_plan(store, RUN))
    for stage in STAGES:
        yield from run.markers.all_of(stage)


def _comparable(unit: Unit, marker: Marker) -> dict[str, Any]:
    if STAGES[unit.stage].rendering:
        return {"status": marker.status}
    content: dict[str, Any] = json.loads(marker.model_dump_json(include={"status", "fingerprint", "outputs", "reason"}))
    return content
