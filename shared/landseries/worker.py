"""The worker: receive -> done already? -> handle -> mark -> what became due -> acknowledge.

Everything about delivery lives here. `process` is one unit's whole way and is safe to repeat at any point: artifacts
are write-once under their fingerprint, the first marker stays, and what became due is derived again each time.
"""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from landseries import __version__
from landseries.artifacts.documents import canonical_json, digest_of, digest_of_file
from landseries.artifacts.fingerprint import artifact_key, fingerprint
from landseries.errors import ArtifactError, LandseriesError, Refused, StoreError
from landseries.grid import area_mask
from landseries.markers import Marker, Markers, Output
from landseries.memory import peak_rss_mib
from landseries.messages import BadMessage, Message, decode, encode
from landseries.pipeline import STAGES, Need, Pipeline, Unit
from landseries.plan import RunPlan, read_plan
from landseries.service import Context, Empty, Handler, Input, Service, load_service, stage_settings
from landseries.stores.base import Store

_MANIFEST = "manifest.json"


class StageVersionMismatch(LandseriesError):
    """The run was planned with another version of the stage: a worker of that version must take the message."""


class StoredChoices:
    """What a run's searches chose, read from their artifacts once and remembered."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._known: dict[tuple[str, str], Mapping[str, Sequence[str]]] = {}

    def chosen(self, granule: str, year: str) -> Mapping[str, Sequence[str]] | None:
        """See `landseries.pipeline.Choices`."""
        known = self._known.get((granule, year))
        if known is None:
            content = self._store.get(f"runs/{self._run_id}/markers/search/{granule}/{year}.json")
            if content is None:
                return None
            marker = Marker.model_validate_json(content)
            known = {}
            if marker.status == "done":
                stored = self._store.get(marker.outputs["chosen.json"].key)
                if stored is None or digest_of(stored) != marker.outputs["chosen.json"].digest:
                    raise ArtifactError(f"the stored search of {granule} {year} is missing or corrupt")
                known = json.loads(stored)
            self._known[(granule, year)] = known
        return known


class OpenRun:
    """A run as a worker sees it: its plan, its pipeline and its markers."""

    def __init__(self, store: Store, plan: RunPlan) -> None:
        self.plan = plan
        self.pipeline = Pipeline(plan.extent, StoredChoices(store, plan.run_id))
        self.markers = Markers(store, plan.run_id, self.pipeline)


class Worker:
    """Does units of work, one at a time."""

    def __init__(
        self,
        store: Store,
        scratch: Path,
        *,
        threads: int = 1,
        notify: Callable[[str], None] = lambda text: None,
        services: Mapping[str, Service] | None = None,
    ) -> None:
        """Make a worker.

        Args:
            store: where plans, markers and artifacts lie.
            scratch: folder for unfinished files.
            threads: threads that handlers should use.
            notify: told how a long unit comes along.
            services: services by name; default those that are installed.
        """
        self._store = store
        self.scratch = scratch
        self._threads = threads
        self._notify = notify
        self._runs: dict[str, OpenRun] = {}
        self._services: dict[str, Service] = dict(services or {})
        self._verified: dict[str, str] = {}

    def process(self, message: Message, threads: int | None = None) -> list[Message]:
        """Do the unit that a message names, and return the messages that became due.

        The caller publishes them, and only then acknowledges the message. `threads` overrides the worker's own.

        Raises:
            BadMessage: the message cannot be read, or names a unit or run that there is not.
            StageVersionMismatch: a worker of another version must do it.
            StoreError, OSError: worth another try.
        """
        self._threads = threads or self._threads
        run_id, unit = decode(message)
        run = self._open_run(run_id)
        self._check(run, unit)
        if not run.markers.answered(unit):
            if not run.markers.is_due(unit):
                return []  # whoever answers its last need publishes it again
            run.markers.put(unit, self._answer(run, unit))
        return [encode(run_id, due, message.traceparent) for due in run.markers.due_after(unit)]

    def _open_run(self, run_id: str) -> OpenRun:
        if run_id not in self._runs:
            plan = read_plan(self._store, run_id)
            if plan is None:
                raise BadMessage(f"there is no run named {run_id!r} in this store")
            self._runs[run_id] = OpenRun(self._store, plan)
        return self._runs[run_id]

    def _check(self, run: OpenRun, unit: Unit) -> None:
        planned = run.plan.stage_versions.get(unit.stage)
        if planned != STAGES[unit.stage].version:
            raise StageVersionMismatch(
                f"run {run.plan.run_id!r} was planned with version {planned} of stage {unit.stage}, this worker has "
                f"{STAGES[unit.stage].version}: use the landseries version that planned it, or start a new run"
            )
        for field, value in unit.fields.items():
            if field != "acquisition" and value not in run.plan.extent.values[field]:
                raise BadMessage(f"{unit.name}: run {run.plan.run_id!r} has no {field} {value!r}")

    def _answer(self, run: OpenRun, unit: Unit) -> Marker:
        """Do a unit whose needs have been answered, or find that it was done under the same fingerprint."""
        started = time.monotonic()
        inputs, refusal = self._gather(run, unit)
        if refusal is not None:
            return self._marker(started, status="refused", reason=refusal)
        with self._context(run, unit, inputs) as context:
            handler = self._handler(unit.stage)
            try:
                outside = dict(handler.outside(context)) if handler.outside else {}
                identity = self._identity(run.plan, unit, inputs, outside)
                known = self._read_manifest(unit.stage, identity)
                if known is not None:
                    return self._marker(started, status="done", outputs=known, fingerprint=identity, reused=True)
                handler.run(context)
            except Refused as refused:
                return self._marker(started, status="refused", reason=str(refused))
            except Empty as empty:
                return self._marker(started, status="empty", reason=str(empty))
            outputs = self._put_outputs(unit.stage, identity, context.outputs)
        return self._marker(started, status="done", outputs=outputs, fingerprint=identity)

    def _gather(self, run: OpenRun, unit: Unit) -> tuple[dict[str, list[Input]], str | None]:
        """What the unit's needs answered, and why it must be refused, where it must."""
        inputs: dict[str, list[Input]] = {}
        for need in STAGES[unit.stage].needs:
            found = []
            for needed in run.pipeline.needs(unit, need):
                marker = run.markers.get(needed)
                if marker is None:
                    raise StoreError(f"the marker of {needed.name} is gone while {unit.name} needs it")
                found.append(Input(needed, _declared_outputs(marker, need, unit)))
            inputs[need.stage] = found
            failed = [item for item in found if not item.done]
            if failed and (not need.tolerant or (len(failed) == len(found) and unit.stage != "report")):
                return inputs, f"because {failed[0].unit.name} was {failed[0].marker.status}: {failed[0].marker.reason}"
        return inputs, None

    def _identity(self, plan: RunPlan, unit: Unit, inputs: Mapping[str, list[Input]], outside: dict[str, str]) -> str:
        row = STAGES[unit.stage]
        digests = [
            f"{item.unit.name} {name}={item.marker.outputs[name].digest}"
            for items in inputs.values()
            for item in items
            for name in sorted(item.marker.outputs)
        ]
        return fingerprint(
            stage=row.name,
            version=row.version,
            key=unit.fields,
            settings=stage_settings(plan, row.name).model_dump(mode="json", exclude_defaults=True),
            shared=_shared_values(plan, unit),
            inputs=digests,
            outside=outside,
            numerics=plan.numerics.model_dump(mode="json") if row.numerics else None,
        )

    @contextmanager
    def _context(self, run: OpenRun, unit: Unit, inputs: Mapping[str, list[Input]]) -> Iterator[Context]:
        self.scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        checkpoints = self.scratch / "checkpoints" / run.plan.run_id / "-".join((unit.stage, *unit.key))
        try:
            yield Context(
                unit=unit,
                scratch=folder,
                threads=self._threads,
                checkpoints=checkpoints,
                _plan=run.plan,
                _inputs=inputs,
                _open=self._open,
                _run_markers=lambda: (item for stage in STAGES for item in run.markers.all_of(stage)),
                _notify=lambda text: self._notify(f"{unit.name}: {text}"),
            )
            shutil.rmtree(checkpoints, ignore_errors=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _open(self, output: Output) -> Iterator[Path]:
        """An artifact as a file whose checksum this process has verified."""
        with self._store.local(output.key) as path:
            if self._verified.get(output.key) != output.digest:
                if digest_of_file(path) != output.digest:
                    raise ArtifactError(f"{output.key}: the stored artifact is corrupt; delete it and run again")
                self._verified[output.key] = output.digest
            yield path

    def _read_manifest(self, stage: str, identity: str) -> dict[str, Output] | None:
        content = self._store.get(artifact_key(stage, identity, _MANIFEST))
        if content is None:
            return None
        outputs = {name: Output.model_validate(entry) for name, entry in json.loads(content)["outputs"].items()}
        return outputs if all(self._store.exists(output.key) for output in outputs.values()) else None

    def _put_outputs(self, stage: str, identity: str, written: Mapping[str, Path]) -> dict[str, Output]:
        outputs = {}
        for name, path in sorted(written.items()):
            key = artifact_key(stage, identity, name)
            outputs[name] = Output(key=key, digest=digest_of_file(path), size_bytes=path.stat().st_size)
            self._store.put(key, path)
        manifest = {
            "stage": stage,
            "version": STAGES[stage].version,
            "fingerprint": identity,
            "outputs": {name: output.model_dump(mode="json") for name, output in outputs.items()},
        }
        self._store.put(artifact_key(stage, identity, _MANIFEST), canonical_json(manifest))
        return outputs

    def _handler(self, stage: str) -> Handler:
        name = STAGES[stage].service
        if name not in self._services:
            self._services[name] = load_service(name)
        return self._services[name].handlers[stage]

    def _marker(self, started: float, **fields: Any) -> Marker:
        return Marker(
            seconds=round(time.monotonic() - started, 3),
            peak_rss_mib=round(peak_rss_mib(), 1),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            host=socket.gethostname(),
            software=__version__,
            **fields,
        )


def _declared_outputs(marker: Marker, need: Need, unit: Unit) -> Marker:
    """The marker with those outputs only that the need declares, so that a handler sees no others."""
    if need.outputs is None:
        return marker
    wanted = {name.format(**unit.fields) for name in need.outputs}
    return marker.model_copy(update={"outputs": {k: v for k, v in marker.outputs.items() if k in wanted}})


def _shared_values(plan: RunPlan, unit: Unit) -> dict[str, Any]:
    """The run's fields that the unit's row declares, in the form in which they decide bytes."""
    fields = unit.fields
    values: dict[str, Any] = {}
    for name in STAGES[unit.stage].shared:
        if name == "periods":
            years = [int(fields["year"])] if "year" in fields else plan.config.years
            values[name] = {str(year): plan.periods[year].model_dump(mode="json") for year in years}
        elif name == "area":
            # Only the tiles' own part of the area counts: a larger area changes nothing inside.
            own = [fields["tile"]] if "tile" in fields else plan.extent.tiles_of[fields["granule"]]
            parts = {tile: area_mask(plan.tile[tile], plan.area) for tile in own}
            digests = {k: "whole" if v.all() else digest_of(np.packbits(v).tobytes()) for k, v in parts.items()}
            values[name] = digests[fields["tile"]] if "tile" in fields else digests
        elif name == "masking":
            values[name] = plan.config.fetcher.fetch.model_dump(mode="json", exclude_defaults=True)
        elif name == "legend":
            values[name] = plan.legend.model_dump(mode="json")
        elif name == "features":
            values[name] = list(plan.features)
        elif name == "training_year":
            values[name] = str(plan.config.forest_year) == fields["year"]
        elif name == "reference_year":
            values[name] = plan.config.reference.year
        else:
            found = getattr(plan.config, name)
            values[name] = found.model_dump(mode="json") if hasattr(found, "model_dump") else found
    if "tile" in fields:
        values["tile"] = plan.tile[fields["tile"]].geometry()
    elif "granule" in fields and "acquisition" not in fields:  # a fetch names the tiles that chose it itself
        tiles = (plan.tile[tile] for tile in plan.extent.tiles_of[fields["granule"]])
        values["tiles"] = {tile.id: tile.geometry() for tile in tiles}
    return values
