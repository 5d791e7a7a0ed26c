"""A run as a worker sees it: its plan, its pipeline over what the searches chose, and its markers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from landseries.artifacts.documents import digest_of
from landseries.errors import ArtifactError, StoreError
from landseries.markers import MISSING, Damaged, Marker, Markers, Output
from landseries.pipeline import Pipeline, Unit
from landseries.plan import RunPlan
from landseries.stores.base import Store

#: Searches whose choices a worker remembers.
_REMEMBERED: Final = 256


class StoredChoices:
    """What a run's searches chose, read from their artifacts once and remembered."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._known: dict[tuple[str, str], Mapping[str, Sequence[str]]] = {}

    def chosen(self, granule: str, year: str) -> Mapping[str, Sequence[str]] | None:
        """See `landseries.pipeline.Choices`.

        Raises:
            Damaged: the stored choice cannot be used.
        """
        known = self._known.get((granule, year))
        if known is None:
            marker = self._marker(Unit("search", (granule, year)))
            if marker is None:
                return None
            if marker.status != "done":
                return {}  # not remembered: a refused search may be done again
            known = self._read(Unit("search", (granule, year)), marker.outputs["chosen.json"])
            if len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[(granule, year)] = known
        return known

    def _marker(self, unit: Unit) -> Marker | None:
        key = "/".join(("runs", self._run_id, "markers", unit.stage, *unit.key)) + ".json"
        try:
            content = self._store.get(key)
            return None if content is None else Marker.model_validate_json(content)
        except (ValidationError, ArtifactError):
            raise Damaged(unit, key, "cannot be read") from None

    def _read(self, unit: Unit, output: Output) -> Mapping[str, Sequence[str]]:
        try:
            stored = self._store.get(output.key)
        except ArtifactError:
            stored = b""
        if stored is None:
            raise Damaged(unit, output.key, MISSING)
        if digest_of(stored) != output.digest:
            raise Damaged(unit, output.key, "is corrupt")
        found: Mapping[str, Sequence[str]] = json.loads(stored)
        return found


class OpenRun:
    """A run as a worker sees it: its plan, its pipeline, its markers and the artifacts that they name."""

    def __init__(self, store: Store, plan: RunPlan) -> None:
        self._store = store
        self.plan = plan
        self.pipeline = Pipeline(plan.extent, StoredChoices(store, plan.run_id))
        self.markers = Markers(store, plan.run_id, self.pipeline)

    @contextmanager
    def local(self, unit: Unit, output: Output) -> Iterator[Path]:
        """An artifact as a file whose checksum has just been verified: it may have been damaged since the last time.

        Raises:
            Damaged: it is missing or corrupt; the unit that wrote it can write it again.
        """
        with ExitStack() as stack:
            try:
                path = stack.enter_context(self._store.local(output.key, output.digest))
            except ArtifactError:
                raise Damaged(unit, output.key, "is corrupt") from None
            except StoreError:
                if self._store.exists(output.key):
                    raise
                raise Damaged(unit, output.key, MISSING) from None
            yield path
