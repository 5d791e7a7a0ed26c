"""Artifacts into a job's folder and back, a few at a time, each compared with its digest on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from landseries.artifacts.fingerprint import MANIFEST, artifact_key
from landseries.errors import ArtifactError, LandseriesError, StoreError
from landseries.identity import identity_of
from landseries.inputs import Gathered, gather
from landseries.markers import Marker, Output
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.plan import read_plan
from landseries.stores.base import Store, StoredObject, Tagged
from landseries.stores.local import LocalStore

#: Artifacts of a unit that are copied at once: one alone waits for the store most of the time.
_COPIES: Final = 6

T = TypeVar("T")


class NoRun(LandseriesError):
    """The run's plan is gone: nobody wants its units any more."""


class UnusableAnswer(LandseriesError):
    """A job's answer is not what it says, or is for other inputs; it was removed from the job's folder."""


def open_run(store: Store, run_id: str) -> OpenRun:
    """A run of a store.

    Raises:
        NoRun: there is none.
    """
    plan = read_plan(store, run_id)
    if plan is None:
        raise NoRun(f"there is no run named {run_id!r} in this store")
    return OpenRun(store, plan)


class StageIn:
    """Copies the plan, the markers and the artifacts that units need into the store of a job's folder.

    What was copied before is read once more, and copied again where its bytes changed.
    """

    def __init__(self, store: Store, run_id: str, folder: LocalStore, pause: Callable[[], None]) -> None:
        """Copy the plan.

        Args:
            store: where everything is.
            run_id: the run of all the units.
            folder: the store of the job's folder.
            pause: called before each artifact; raises where the copying should end.

        Raises:
            NoRun: the run is gone.
        """
        self._folder = folder
        self._pause = pause
        self._run = open_run(_Copying(store, folder), run_id)

    def stage(self, unit: Unit) -> str | None:
        """Copy what a unit needs; returns its fingerprint, or None where it is no longer due.

        Raises:
            Damaged: what a needed unit wrote is missing or corrupt in the store.
        """
        gathered = gather(self._run, unit)
        if gathered is None:
            return None
        items = [item for items in gathered.inputs.values() for item in items]
        needed = {output.key: (item.unit, output) for item in items for output in item.marker.outputs.values()}
        _together(lambda one: self._copy(*one), needed.values())
        return _identity(self._run, unit, gathered)

    def _copy(self, writer: Unit, output: Output) -> None:
        self._pause()
        if not _has(self._folder, output.key, output.digest):
            with self._run.local(writer, output) as path:
                self._folder.put(output.key, path)


def bring_back(folder: LocalStore, run: OpenRun, store: Store, unit: Unit, identity: str) -> bool:
    """Carry what a job answered for a unit into the store: artifacts, their manifest, then the marker.

    Args:
        folder: the store of the job's folder.
        run, store: where it goes.
        unit: the unit.
        identity: the fingerprint under which it was staged.

    Returns:
        Whether the unit has its marker now.

    Raises:
        UnusableAnswer: the answer is half-written, its bytes changed, or the unit's inputs did.
        StoreError: the store is away or full.
    """
    if run.markers.answered(unit):
        return True
    key = run.markers.key(unit)
    content = folder.get(key)
    if content is None:
        return False
    try:
        marker = Marker.model_validate_json(content)
        gathered = gather(run, unit)
        if gathered is None or _identity(run, unit, gathered) != identity:
            raise ArtifactError("the unit's inputs are no longer those that the job had")
        _copy_outputs(folder, store, unit, marker, identity)
    except (ArtifactError, ValueError) as error:
        # With all that the job wrote: the next attempt would find its manifest, and rely on it.
        for item in list(folder.list(f"{PurePosixPath(artifact_key(unit.stage, identity, MANIFEST)).parent}/")):
            folder.delete(item.key)
        folder.delete(key)
        raise UnusableAnswer(str(error)) from None
    run.markers.put(unit, marker)
    return True


def _copy_outputs(folder: LocalStore, store: Store, unit: Unit, marker: Marker, identity: str) -> None:
    if marker.status != "done":
        return
    if marker.fingerprint != identity:
        raise ArtifactError("the job wrote under another fingerprint")
    if not marker.outputs:
        raise ArtifactError("the job says that it is done and names no output")
    for name, output in marker.outputs.items():
        if output.key != artifact_key(unit.stage, identity, name) or name == MANIFEST or "/" in name:
            raise ArtifactError(f"{output.key} is no key of this unit")
    manifest = _manifest_of(folder, unit, marker, identity)
    _together(lambda output: _carry(folder, store, output), marker.outputs.values())
    store.put(artifact_key(unit.stage, identity, MANIFEST), manifest)


def _carry(folder: LocalStore, store: Store, output: Output) -> None:
    with ExitStack() as stack:
        try:
            path = stack.enter_context(folder.local(output.key, output.digest))
        except StoreError as error:  # it is not there: of the job's folder this is the answer's fault
            raise ArtifactError(str(error)) from None
        store.put(output.key, path)


def _manifest_of(folder: LocalStore, unit: Unit, marker: Marker, identity: str) -> bytes:
    """The manifest that a job wrote, which other runs will rely on."""
    content = folder.get(artifact_key(unit.stage, identity, MANIFEST))
    if content is None:
        raise ArtifactError("the job wrote no manifest")
    said = json.loads(content)
    wanted = {name: output.model_dump(mode="json") for name, output in marker.outputs.items()}
    if not isinstance(said, dict) or said.get("fingerprint") != identity or said.get("outputs") != wanted:
        raise ArtifactError("the job's manifest and its marker name different outputs")
    return content


def _together(do: Callable[[T], None], things: Iterable[T]) -> None:
    """Do something with each of several things, a few at a time; after a failure none is begun any more."""
    with ThreadPoolExecutor(_COPIES, thread_name_prefix="copies") as pool:
        futures = [pool.submit(do, thing) for thing in things]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()


def _identity(run: OpenRun, unit: Unit, gathered: Gathered) -> str:
    # Services that use anything from outside the store cannot go to a batch system.
    return identity_of(run.plan, unit, gathered.inputs, {})


def _has(folder: LocalStore, key: str, digest: str) -> bool:
    if not folder.exists(key):
        return False
    try:
        with folder.local(key, digest):
            return True
    except ArtifactError:
        return False


class _Copying:
    """A store that copies every small object it gives: what is asked of a run here, a job will ask again."""

    def __init__(self, source: Store, copy: LocalStore) -> None:
        self._source = source
        self._copy = copy

    def get(self, key: str) -> bytes | None:
        content = self._source.get(key)
        if content is not None and self._copy.get(key) != content:
            self._copy.put(key, content)
        return content

    def local(self, key: str, digest: str | None = None) -> AbstractContextManager[Path]:
        return self._source.local(key, digest)

    def exists(self, key: str) -> bool:
        return self._source.exists(key)

    def get_tagged(self, key: str) -> Tagged | None:
        return self._source.get_tagged(key)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        return self._source.list(prefix)

    def put(self, key: str, content: bytes | Path) -> None:
        self._source.put(key, content)

    def put_new(self, key: str, content: bytes | Path) -> bool:
        return self._source.put_new(key, content)

    def put_if(self, key: str, content: bytes, tag: str | None) -> str | None:
        return self._source.put_if(key, content, tag)

    def delete(self, key: str) -> None:
        self._source.delete(key)
