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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from landseries import __version__
from landseries.artifacts.documents import canonical_json, digest_of_file
from landseries.artifacts.fingerprint import MANIFEST, artifact_key
from landseries.checkpoints import Checkpoints, checkpoint_name
from landseries.errors import ArtifactError, LandseriesError, Refused
from landseries.identity import identity_of
from landseries.inputs import Gathered, gather
from landseries.leases import Leases
from landseries.markers import Damaged, Marker, Output
from landseries.memory import peak_rss_mib
from landseries.messages import BadMessage, Message, decode, encode
from landseries.openrun import OpenRun
from landseries.pipeline import STAGES, Unit
from landseries.plan import Stamp, plan_stamp, read_plan
from landseries.repairs import repair
from landseries.service import Assisted, Context, Empty, Handler, Input, Service, load_service
from landseries.stores.base import Store

#: Runs that a worker keeps open.
_OPEN_RUNS: Final = 8
#: How long a worker may not notice that a run was forgotten, and that another one took its name.
_LOOK_EVERY_S: Final = 1.0

Outcome = Literal["done", "reused", "empty", "refused", "skipped", "repaired", "queued"]
#: Looks at a unit before it is worked on, and raises where it must not be (yet).
Gate = Callable[[OpenRun, Unit], None]


class StageVersionMismatch(LandseriesError):
    """The run was planned with another version of the stage: a worker of that version must take the message."""


@dataclass(frozen=True)
class Processed:
    """What became of a message.

    Attributes:
        due: messages to publish before the message is acknowledged.
        outcome: what the unit answered; skipped where there was nothing to do, repaired where a damaged input must be
            written again first, queued where a batch system will do it.
    """

    due: list[Message]
    outcome: Outcome


@dataclass
class _Opened:
    """A run that is kept open, with its plan's stamp and when that was looked at."""

    run: OpenRun
    stamp: Stamp | None
    looked: float


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
        leases: Leases | None = None,
        gates: Sequence[Gate] = (),
    ) -> None:
        """Make a worker.

        Args:
            store: where plans, markers and artifacts lie.
            scratch: folder for unfinished files.
            threads: threads that handlers should use.
            notify: told how a long unit comes along.
            services: services by name; default those that are installed.
            leases: for long units, where other workers may get a copy of the message.
            gates: asked in turn before a unit that has not answered.
        """
        self._store = store
        self.scratch = scratch
        self._threads = threads
        self._notify = notify
        self._runs: dict[str, _Opened] = {}
        self._services: dict[str, Service] = dict(services or {})
        self._leases = leases
        self._gates = gates

    def process(self, message: Message, threads: int | None = None) -> Processed:
        """Do the unit that a message names, and return the messages that became due.

        The caller publishes them, and only then acknowledges the message. `threads` overrides the worker's own.

        Raises:
            BadMessage: the message cannot be read, or names a unit or run that there is not.
            StageVersionMismatch: a worker of another version must do it.
            LeaseHeld: another worker is at work on it.
            StoreError, OSError: worth another try.
        """
        self._threads = threads or self._threads
        run_id, unit = decode(message)
        run = self._open_run(run_id)
        self._check(run, unit)
        try:
            outcome, first = self._answered(run, unit)
            due = run.markers.due_after(unit, first=first) if outcome is not None else []
        except Damaged as damage:
            repair(self._store, run, damage)
            self._runs.pop(run_id, None)
            return Processed([encode(run_id, damage.unit, message.traceparent)], "repaired")
        return Processed([encode(run_id, entry, message.traceparent) for entry in due], outcome or "skipped")

    def _answered(self, run: OpenRun, unit: Unit) -> tuple[Outcome | None, bool]:
        """See to it that a unit has its marker, and tell whether it got it here and now.

        The outcome is None where the unit is not due (who answers its last need publishes it), and where this process
        only helped the one that answers.
        """
        if run.markers.answered(unit):
            return "skipped", False
        for gate in self._gates:
            gate(run, unit)
        gathered = gather(run, unit)
        if gathered is None:
            return None, False
        try:
            with self._owning(run, unit):
                if self._leases is not None and STAGES[unit.stage].long and run.markers.answered(unit):
                    return "skipped", False  # while this worker watched the lease
                marker = self._answer(run, unit, gathered)
                first = run.markers.put(unit, marker)
        except Assisted:
            return None, False  # the process that writes publishes what becomes due
        return "reused" if marker.reused else marker.status, first

    def _open_run(self, run_id: str) -> OpenRun:
        opened = self._runs.pop(run_id, None)
        now = time.monotonic()
        if opened is None or now - opened.looked >= _LOOK_EVERY_S:
            # Before the plan is read: one that changes meanwhile is read again.
            stamp = plan_stamp(self._store, run_id)
            if opened is None or stamp != opened.stamp:
                opened = _Opened(self._read_run(run_id), stamp, now)
            opened.looked = now
        self._runs[run_id] = opened
        if len(self._runs) > _OPEN_RUNS:
            del self._runs[next(iter(self._runs))]
        return opened.run

    def _read_run(self, run_id: str) -> OpenRun:
        plan = read_plan(self._store, run_id)
        if plan is None:
            raise BadMessage(f"there is no run named {run_id!r} in this store")
        return OpenRun(self._store, plan)

    def _check(self, run: OpenRun, unit: Unit) -> None:
        planned = run.plan.stage_versions.get(unit.stage)
        if planned != STAGES[unit.stage].version:
            raise StageVersionMismatch(
                f"run {run.plan.run_id!r} was planned with version {planned} of stage {unit.stage}, this worker has "
                f"{STAGES[unit.stage].version}: use the landseries version that planned it, or start a new run"
            )
        for field, value in unit.fields.items():
            if field != "acquisition" and value not in run.plan.extent.known(field):
                raise BadMessage(f"{unit.name}: run {run.plan.run_id!r} has no {field} {value!r}")

    @contextmanager
    def _owning(self, run: OpenRun, unit: Unit) -> Iterator[None]:
        """Hold a long unit's lease and keep its checkpoints in the store; nothing for others, or without leases."""
        if self._leases is None or not STAGES[unit.stage].long:
            yield
            return
        checkpoints = Checkpoints(self._store, run.plan.run_id, unit, self._checkpoint_folder(run, unit))
        key = f"runs/{run.plan.run_id}/leases/{'/'.join((unit.stage, *unit.key))}.json"
        with self._leases.holding(key, checkpoints.save):
            checkpoints.restore()
            yield
            checkpoints.remove()

    def _answer(self, run: OpenRun, unit: Unit, gathered: Gathered) -> Marker:
        """Do a unit whose needs have been answered, or find that it was done under the same fingerprint."""
        started = time.monotonic()
        if gathered.refusal is not None:
            return self._marker(started, status="refused", reason=gathered.refusal)
        with self._context(run, unit, gathered.inputs) as context:
            handler = self._handler(unit.stage)
            try:
                outside = dict(handler.outside(context)) if handler.outside else {}
                identity = identity_of(run.plan, unit, gathered.inputs, outside)
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

    def _checkpoint_folder(self, run: OpenRun, unit: Unit) -> Path:
        return self.scratch / "checkpoints" / run.plan.run_id / checkpoint_name(unit)

    @contextmanager
    def _context(self, run: OpenRun, unit: Unit, inputs: Mapping[str, list[Input]]) -> Iterator[Context]:
        self.scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        checkpoints = self._checkpoint_folder(run, unit)
        try:
            yield Context(
                unit=unit,
                scratch=folder,
                threads=self._threads,
                checkpoints=checkpoints,
                _plan=run.plan,
                _inputs=inputs,
                _open=run.local,
                _run_markers=lambda: (item for stage in STAGES for item in run.markers.all_of(stage)),
                _notify=lambda text: self._notify(f"{unit.name}: {text}"),
            )
            shutil.rmtree(checkpoints, ignore_errors=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _read_manifest(self, stage: str, identity: str) -> dict[str, Output] | None:
        try:
            content = self._store.get(artifact_key(stage, identity, MANIFEST))
            if content is None:
                return None
            entries = json.loads(content)["outputs"]
        except (ArtifactError, ValueError, KeyError):
            return None  # unreadable: what it promised is written again
        # Written anew, the artifact is young again for a garbage collection that began before this run named it.
        self._store.put(artifact_key(stage, identity, MANIFEST), content)
        outputs = {name: Output.model_validate(entry) for name, entry in entries.items()}
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
        self._store.put(artifact_key(stage, identity, MANIFEST), canonical_json(manifest))
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
