"""Marks: which artifacts the runs of a store name, and which of them all readers are done with.

A mark is a fingerprint of 32 bytes. Markers are read in a stream, so that memory grows with the units of the largest
run and the number of different artifacts by some tens of bytes each, and not with what is stored.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from landseries.errors import ArtifactError
from landseries.markers import Damaged, Marker
from landseries.openrun import OpenRun
from landseries.pipeline import STAGES, Unit
from landseries.plan import RunPlan, read_plan
from landseries.stores.base import Store

#: Markers that are read at once, and by how many threads: a store far away answers slowly, but many at a time.
_BATCH: Final = 256
_THREADS: Final = 8


#: Depth of the fingerprint in an artifact's key: artifacts/<stage>/<two digits>/<fingerprint>/<output>.
_FINGERPRINT_AT: Final = 3


@dataclass
class Marks:
    """What was marked.

    Attributes:
        named: fingerprints of artifacts that must stay.
        consumed: fingerprints that a run names and needs no more; another run may still need them.
        unsure: stages of which a marker could not be read, so that what it names is not known.
        notes: what a person should look at.
    """

    named: set[bytes] = field(default_factory=set)
    consumed: set[bytes] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def artifact_folder(key: str) -> str:
    """The part of an artifact's key that all outputs of its unit share."""
    return "/".join(key.split("/")[: _FINGERPRINT_AT + 1])


def fingerprint_of(key: str) -> bytes | None:
    """The fingerprint in an artifact's key, 32 bytes; None where the key holds none."""
    steps = key.split("/")
    try:
        found = bytes.fromhex(steps[_FINGERPRINT_AT])
    except (IndexError, ValueError):
        return None
    return found if len(found) == 32 else None


def plan_key(run_id: str) -> str:
    """Key of a run's plan."""
    return f"plans/{run_id}.json"


def is_complete(store: Store, run_id: str) -> bool:
    """Whether every unit of a run has been answered: the report waits for all of them."""
    return store.exists(f"{_markers_of(run_id)}report.json")


def mark_run(store: Store, run_id: str, marks: Marks, *, complete: bool) -> None:
    """Add the marks of one run.

    Args:
        store, run_id: the run.
        marks: added to.
        complete: whether every unit of the run has been answered.
    """
    needed = _Needed(store, run_id, marks, complete=complete)
    for key, marker in _markers(store, run_id, marks):
        unit = _unit(run_id, key)
        found = {fingerprint for output in marker.outputs.values() if (fingerprint := fingerprint_of(output.key))}
        (marks.named if needed.still(unit) else marks.consumed).update(found)


class _Needed:
    """Whether artifacts of one run must stay."""

    def __init__(self, store: Store, run_id: str, marks: Marks, *, complete: bool) -> None:
        self._run: OpenRun | None = None
        self._complete = complete
        self._answered: set[bytes] = set()
        try:
            plan = read_plan(store, run_id)
        except ArtifactError as error:
            marks.notes.append(f"all artifacts of run {run_id!r} are kept, because its plan is not understood: {error}")
            return
        if plan is None:
            return
        self._run = OpenRun(store, plan)
        if not complete:
            listing = store.list(_markers_of(run_id))
            self._answered = {_short(_unit(run_id, item.key)) for item in listing}

    def still(self, unit: Unit) -> bool:
        """Whether a unit's artifacts must stay; in case of doubt they must."""
        if self._run is None or not _belongs(unit, self._run.plan) or self._run.plan.config.storage.keeps(unit.stage):
            return True
        if self._complete:
            return False
        try:
            return any(
                need.outputs != () and _short(waiting) not in self._answered
                for waiting, need in self._run.pipeline.dependents(unit)
            )
        except Damaged:
            return True


def _markers(store: Store, run_id: str, marks: Marks) -> Iterator[tuple[str, Marker]]:
    """Every marker of a run with its key."""
    keys = (item.key for item in store.list(_markers_of(run_id)))
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="gc") as threads:
        while batch := list(itertools.islice(keys, _BATCH)):
            for key, marker in zip(batch, threads.map(lambda key: _read(store, key), batch), strict=True):
                if isinstance(marker, Marker):
                    yield key, marker
                elif marker is not None:
                    stage = _unit(run_id, key).stage
                    marks.unsure.add(stage)
                    marks.notes.append(f"nothing of stage {stage} is removed, because {key} cannot be read: {marker}")


def _read(store: Store, key: str) -> Marker | Exception | None:
    """A marker; None where it is gone by now, the error where it cannot be read."""
    try:
        content = store.get(key)
        return None if content is None else Marker.model_validate_json(content)
    except (ArtifactError, ValidationError) as error:
        return error


def _markers_of(run_id: str) -> str:
    return f"runs/{run_id}/markers/"


def _unit(run_id: str, key: str) -> Unit:
    stage, *fields = key.removeprefix(_markers_of(run_id)).removesuffix(".json").split("/")
    return Unit(stage, tuple(fields))


def _belongs(unit: Unit, plan: RunPlan) -> bool:
    """Whether the run has such a unit, as far as can be said before its searches."""
    row = STAGES.get(unit.stage)
    return (
        row is not None
        and len(unit.key) == len(row.unit)
        and all(value in plan.extent.known(name) for name, value in unit.fields.items() if name != "acquisition")
    )


def _short(unit: Unit) -> bytes:
    """A unit in 16 bytes."""
    return hashlib.blake2b("/".join((unit.stage, *unit.key)).encode(), digest_size=16).digest()
