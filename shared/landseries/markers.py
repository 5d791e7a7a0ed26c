"""Markers: how far a run has come, as a set of small objects in the store.

A marker says that a unit is done, empty or refused, and names its outputs. Joins are sets of markers, not counters:
a unit is due when every need has its markers. Wide joins are trees: once all members of a group of a hundred have
markers, the group gets one, so that no finisher lists more than one group per level.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from landseries.artifacts.documents import canonical_json
from landseries.errors import ArtifactError
from landseries.pipeline import STAGES, Bind, Need, Pipeline, Unit
from landseries.stores.base import Store

#: Members of a group; a join over more of them is a tree.
GROUP_SIZE: Final = 100

Status = Literal["done", "empty", "refused"]


class Output(BaseModel):
    """One stored artifact of a unit."""

    model_config = ConfigDict(frozen=True)

    key: str
    digest: str
    size_bytes: int


class Marker(BaseModel):
    """What is known of an answered unit; the fields below `reason` are for people and never enter a fingerprint."""

    model_config = ConfigDict(frozen=True)

    status: Status
    fingerprint: str | None = None
    outputs: dict[str, Output] = {}
    reason: str = ""
    reused: bool = False
    seconds: float = 0.0
    peak_rss_mib: float = 0.0
    finished: str = ""
    host: str = ""
    software: str = ""


class Markers:
    """The markers of one run."""

    def __init__(self, store: Store, run_id: str, pipeline: Pipeline) -> None:
        self._store = store
        self._root = f"runs/{run_id}"
        self._pipeline = pipeline
        self._wide: dict[tuple[Unit, str], dict[Unit, int]] = {}

    def get(self, unit: Unit) -> Marker | None:
        """A unit's marker; None while it has not answered."""
        content = self._store.get(self._key(unit))
        if content is None:
            return None
        try:
            return Marker.model_validate_json(content)
        except ValidationError as error:
            raise ArtifactError(f"the marker of {unit.name} cannot be read: {error}") from error

    def put(self, unit: Unit, marker: Marker) -> None:
        """Mark a unit; the first marker stays."""
        self._store.put_new(self._key(unit), canonical_json(marker.model_dump(mode="json")))

    def answered(self, unit: Unit) -> bool:
        """Whether a unit has a marker."""
        return self._store.exists(self._key(unit))

    def all_of(self, stage: str) -> Iterator[tuple[Unit, Marker]]:
        """Every marker of a stage."""
        for unit in self._pipeline.units(stage):
            marker = self.get(unit)
            if marker is not None:
                yield unit, marker

    def due_after(self, unit: Unit) -> list[Unit]:
        """The units that became due because a unit was answered; safe to ask again."""
        due: dict[Unit, None] = {}
        for waiting, need in self._pipeline.dependents(unit):
            if waiting not in due and self._join_complete(waiting, need, unit) and not self.answered(waiting):
                others = (other for other in STAGES[waiting.stage].needs if other is not need)
                if all(self._satisfied(waiting, other) for other in others):
                    due[waiting] = None
        return list(due)

    def is_due(self, unit: Unit) -> bool:
        """Whether all that a unit needs has been answered."""
        return all(self._satisfied(unit, need) for need in STAGES[unit.stage].needs)

    def due_now(self) -> Iterator[Unit]:
        """Every unit that could be worked on now, derived from the markers alone.

        Groups of wide joins are looked at afresh, because a worker may have died between its last member's marker
        and the group's.
        """
        for stage, row in STAGES.items():
            for unit in self._pipeline.units(stage):
                if self.answered(unit):
                    continue
                if all(
                    self._rebuilt(unit, need) if _is_wide(need) else self._satisfied(unit, need) for need in row.needs
                ):
                    yield unit

    def _satisfied(self, unit: Unit, need: Need) -> bool:
        if _is_wide(need):
            members = self._members(unit, need)
            if len(members) > GROUP_SIZE:
                return self._store.exists(self._group_key(unit, need, _top_level(len(members)), 0))
        return all(self.answered(member) for member in self._pipeline.needs(unit, need))

    def _join_complete(self, waiting: Unit, need: Need, finished: Unit) -> bool:
        """Whether one need of a waiting unit is complete, after one of its members was answered."""
        if _is_wide(need) and len(self._members(waiting, need)) > GROUP_SIZE:
            return self._climb(waiting, need, finished)
        return self._satisfied(waiting, need)

    def _climb(self, waiting: Unit, need: Need, finished: Unit) -> bool:
        """Mark the groups that are now complete, from the finished member's group upwards."""
        position = self._members(waiting, need)
        group = position[finished] // GROUP_SIZE
        members = list(position)
        size = len(members)
        for level in range(1, _top_level(len(members)) + 1):
            span = range(group * GROUP_SIZE, min((group + 1) * GROUP_SIZE, size))
            if level == 1:
                complete = all(self.answered(members[i]) for i in span)
            else:
                complete = all(self._store.exists(self._group_key(waiting, need, level - 1, i)) for i in span)
            if not complete:
                return False
            self._store.put(self._group_key(waiting, need, level, group), b"{}")
            size = -(-size // GROUP_SIZE)
            group //= GROUP_SIZE
        return True

    def _rebuilt(self, waiting: Unit, need: Need) -> bool:
        """Whether a wide join is complete, with the markers of its complete groups written again."""
        members = list(self._members(waiting, need))
        complete = [self.answered(member) for member in members]
        for level in range(1, _top_level(len(members)) + 1 if len(members) > GROUP_SIZE else 1):
            complete = [all(complete[i : i + GROUP_SIZE]) for i in range(0, len(complete), GROUP_SIZE)]
            for group, whole in enumerate(complete):
                if whole:
                    self._store.put(self._group_key(waiting, need, level, group), b"{}")
        return all(complete)

    def _members(self, waiting: Unit, need: Need) -> dict[Unit, int]:
        """Position of each member of a wide join, which never changes during a run."""
        known = self._wide.get((waiting, need.stage))
        if known is None:
            known = {member: place for place, member in enumerate(self._pipeline.needs(waiting, need))}
            self._wide[(waiting, need.stage)] = known
        return known

    def _key(self, unit: Unit) -> str:
        return "/".join((self._root, "markers", unit.stage, *unit.key)) + ".json"

    def _group_key(self, waiting: Unit, need: Need, level: int, group: int) -> str:
        return "/".join((self._root, "joins", *(waiting.stage, *waiting.key), need.stage, f"L{level}", f"{group}.json"))


def _is_wide(need: Need) -> bool:
    return need.bind.get("tile") in (Bind.EVERY, Bind.INSIDE) or need.bind.get("granule") is Bind.EVERY


def _top_level(members: int) -> int:
    level, size = 1, -(-members // GROUP_SIZE)
    while size > 1:
        level, size = level + 1, -(-size // GROUP_SIZE)
    return level
