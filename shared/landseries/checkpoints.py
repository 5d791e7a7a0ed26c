"""Checkpoints of long units: scratch that outlives a process, kept in the store where the next owner may be elsewhere.

They are no artifacts: they decide no bytes, a missing or old one costs time only, and they go when the unit is done.
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Final

from landseries.errors import ArtifactError
from landseries.pipeline import Unit
from landseries.stores.base import Store

#: Where checkpoints lie in a store.
CHECKPOINTS: Final = "scratch/checkpoints"
_UNFINISHED: Final = ".partial"


def checkpoint_name(unit: Unit) -> str:
    """A unit's name as one path step."""
    return "-".join((unit.stage, *unit.key))


class Checkpoints:
    """A unit's checkpoint folder, kept equal to its copy in the store."""

    def __init__(self, store: Store, run_id: str, unit: Unit, folder: Path) -> None:
        """Make it.

        Args:
            store: where the copies lie.
            run_id, unit: whose checkpoints they are.
            folder: where the handler reads and writes them; files only, written whole by renaming.
        """
        self._store = store
        self._prefix = f"{CHECKPOINTS}/{run_id}/{checkpoint_name(unit)}/"
        self._folder = folder
        self._seen: dict[str, tuple[int, int]] = {}
        self._turn = threading.Lock()
        self._removed = False

    def restore(self) -> None:
        """Replace the folder by the copies in the store: another worker may have come further."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        for item in self._store.list(self._prefix):
            target = self._folder / item.key.removeprefix(self._prefix)
            incoming = target.with_name(target.name + _UNFINISHED)
            try:
                with self._store.local(item.key) as path:
                    shutil.copyfile(path, incoming)
            except ArtifactError:
                self._store.delete(item.key)  # damaged: the unit begins anew, or from another checkpoint
                continue
            # Renamed, because `save` may look at the folder at any moment.
            incoming.replace(target)
            self._seen[target.name] = _version(target)

    def save(self) -> None:
        """Copy files that changed to the store; safe to call from any thread."""
        with self._turn:
            for path in sorted(self._folder.iterdir()) if self._folder.is_dir() and not self._removed else []:
                try:
                    version = _version(path)
                except FileNotFoundError:
                    continue  # renamed meanwhile: its successor comes with the next beat
                if path.is_file() and path.suffix != _UNFINISHED and self._seen.get(path.name) != version:
                    self._store.put(self._prefix + path.name, path)
                    self._seen[path.name] = version

    def remove(self) -> None:
        """Forget them, here and in the store: the unit is done."""
        with self._turn:
            self._removed = True
            for item in list(self._store.list(self._prefix)):
                self._store.delete(item.key)
            shutil.rmtree(self._folder, ignore_errors=True)


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
