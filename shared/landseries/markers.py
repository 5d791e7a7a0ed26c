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
from landseries.pipeline import STAGES, Pipeline, Unit
from landseries.rows import Bind, Need
from landseries.stores.base import Store

#: Members of a group; a join over more of them is a tree.
GROUP_SIZE: Final = 100
#: Answered units that a worker remembers.
_REMEMBERED: Final = 4096

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


#: What is said of an artifact that is not there.
MISSING: Final = "is missing"


class Damaged(ArtifactError):
    """What a unit wrote (an artifact or its marker) is missing, or its bytes are not those that were written.

    Attributes:
        unit: the unit that wrote it, and can write it again.
        key: what is damaged.
        what: how, in words that follow the key.
    """

    def __init__(self, unit: Unit, key: str, what: str) -> None:
        super().__init__(f"{key}, written by {unit.name}, {what}")
        self.unit = unit
        self.key = key
        self.what = what


class Markers:
    """The markers of one run.

    Units that were seen answered are remembered (the last few thousand) where it is asked whether a join is complete:
    a marker that was removed since by a repair or a redrive only has a waiting unit published too early, which does no
    harm. Whether a unit itself has to be done is always looked up.
    """

    def __init__(self, store: Store, run_id: str, pipeline: Pipeline) -> None:
        self._store = store
        self._root = f"runs/{run_id}"
        self._pipeline = pipeline
        self._wide: dict[tuple[Unit, str], dict[Unit, int]] = {}
        self._seen: dict[Unit, None] = {}

    def get(self, unit: Unit) -> Marker | None:
        """A unit's marker; None while it has not answered.

        Raises:
            Damaged: the marker cannot be read.
        """
        try:
            content = self._store.get(self.key(unit))
            if content is None:
                return None
            marker = Marker.model_validate_json(content)
        except (ValidationError, ArtifactError):
            raise Damaged(unit, self.key(unit), "cannot be read") from None
        self._remember(unit)
        return marker

    def put(self, unit: Unit, marker: Marker) -> bool:
        """Mark a unit; the first marker stays. Whether it is this one."""
        first = self._store.put_new(self.key(unit), canonical_json(marker.model_dump(mode="json")))
        self._remember(unit)
        return first

    def remove(self, unit: Unit) -> None:
        """Forget that a unit was answered."""
        self._seen.pop(unit, None)
        self._store.delete(self.key(unit))

    def answered(self, unit: Unit) -> bool:
        """Whether a unit has a marker."""
        found = self._store.exists(self.key(unit))
        if found:
            self._remember(unit)
        return found

    def _was_answered(self, unit: Unit) -> bool:
        return unit in self._seen or self.answered(unit)

    def all_of(self, stage: str) -> Iterator[tuple[Unit, Marker]]:
        """Every marker of a stage."""
        for unit in self._pipeline.units(stage):
            marker = self.get(unit)
            if marker is not None:
                yield unit, marker

    def answered_units(self, stage: str) -> set[Unit]:
        """The units of a stage that have a marker, by one listing."""
        prefix = f"{self._root}/markers/{stage}/"
        found = (item.key.removeprefix(prefix).removesuffix(".json") for item in self._store.list(prefix))
        if not STAGES[stage].unit:
            return self._unkeyed(stage)
        return {Unit(stage, tuple(name.split("/"))) for name in found}

    def due_after(self, unit: Unit, *, first: bool = False) -> list[Unit]:
        """The units that became due because a unit was answered; safe to ask again.

        Args:
            unit: the answered unit.
            first: whether it was answered just now, for the first time. Who waits for it can then not have been
                answered, and is not looked up; where a repair makes that untrue, a superfluous message finds it out.
        """
        due: dict[Unit, None] = {}
        for waiting, need in self._pipeline.dependents(unit):
            if waiting not in due and self._join_complete(waiting, need, unit):
                others = (other for other in STAGES[waiting.stage].needs if other is not need)
                if all(self._satisfied(waiting, other) for other in others) and (first or not self.answered(waiting)):
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
        answered = {stage: self.answered_units(stage) for stage in STAGES}
        for stage, row in STAGES.items():
            for unit in self._pipeline.units(stage):
                if unit not in answered[stage] and all(
                    self._rebuilt(unit, need, answered[need.stage])
                    if _is_wide(need)
                    else all(member in answered[need.stage] for member in self._pipeline.needs(unit, need))
                    for need in row.needs
                ):
                    yield unit

    def _satisfied(self, unit: Unit, need: Need) -> bool:
        if _is_wide(need):
            members = self._members(unit, need)
            if len(members) > GROUP_SIZE:
                return self._store.exists(self._group_key(unit, need, _top_level(len(members)), 0))
        return all(self._was_answered(member) for member in self._pipeline.needs(unit, need))

    def _join_complete(self, waiting: Unit, need: Need, finished: Unit) -> bool:
        """Whether one need of a waiting unit is complete, after one of its members was answered."""
        if _is_wide(need) and len(self._members(waiting, need)) > GROUP_SIZE:
            return self._climb(waiting, need, finished)
        return self._satisfied(waiting, need)

    def _climb(self, waiting: Unit, need: Need, finished: Unit) -> bool:
        """Mark the groups that are now complete, from the finished member's group upwards."""
        position = self._members(waiting, need)
        group = position[finished] // GROUP_SIZE
        below_group = group
        members = list(position)
        size = len(members)
        for level in range(1, _top_level(len(members)) + 1):
            span = range(group * GROUP_SIZE, min((group + 1) * GROUP_SIZE, size))
            below = position[finished] if level == 1 else below_group
            if level == 1:
                complete = all(self._was_answered(members[i]) for i in _from(span, below))
            else:
                complete = all(
                    self._store.exists(self._group_key(waiting, need, level - 1, i)) for i in _from(span, below)
                )
            if not complete:
                return False
            self._store.put(self._group_key(waiting, need, level, group), b"{}")
            size = -(-size // GROUP_SIZE)
            below_group, group = group, group // GROUP_SIZE
        return True

    def _rebuilt(self, waiting: Unit, need: Need, answered: set[Unit]) -> bool:
        """Whether a wide join is complete, with the markers of its complete groups written again."""
        members = list(self._members(waiting, need))
        complete = [member in answered for member in members]
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

    def _unkeyed(self, stage: str) -> set[Unit]:
        """The one unit of a stage without key fields, where it has a marker; its key is no folder."""
        unit = Unit(stage, ())
        return {unit} if self._store.exists(self.key(unit)) else set()

    def _remember(self, unit: Unit) -> None:
        self._seen[unit] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def key(self, unit: Unit) -> str:
        """The key of a unit's marker."""
        return "/".join((self._root, "markers", unit.stage, *unit.key)) + ".json"

    def _group_key(self, waiting: Unit, need: Need, level: int, group: int) -> str:
        return "/".join((self._root, "joins", *(waiting.stage, *waiting.key), need.stage, f"L{level}", f"{group}.json"))


def _is_wide(need: Need) -> bool:
    return need.bind.get("tile") in (Bind.EVERY, Bind.INSIDE) or need.bind.get("granule") is Bind.EVERY


def _from(span: range, start: int) -> Iterator[int]:
    """The places of a group, beginning after one of them: units are done in order, so the next is likely missing."""
    yield from range(start + 1, span.stop)
    yield from range(span.start, min(start + 1, span.stop))


def _top_level(members: int) -> int:
    level, size = 1, -(-members // GROUP_SIZE)
    while size > 1:
        level, size = level + 1, -(-size // GROUP_SIZE)
    return level
