"""Checkpoints: a folder and its copy in a store, whatever is half-written, damaged or gone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from landseries.checkpoints import CHECKPOINTS, Checkpoints, checkpoint_name
from landseries.errors import ArtifactError
from landseries.pipeline import Unit
from landseries.stores.local import LocalStore

UNIT = Unit("train", ("all", "multi-year"))
PREFIX = f"{CHECKPOINTS}/demo/{checkpoint_name(UNIT)}/"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def checkpoints(store: LocalStore, folder: Path, unit: Unit = UNIT) -> Checkpoints:
    return Checkpoints(store, "demo", unit, folder)


def copies(store: LocalStore) -> dict[str, bytes | None]:
    return {item.key.removeprefix(PREFIX): store.get(item.key) for item in store.list(PREFIX)}


def test_the_next_owner_goes_on_from_what_was_saved(store: LocalStore, tmp_path: Path) -> None:
    first = checkpoints(store, tmp_path / "one")
    first.restore()
    (tmp_path / "one" / "weights.pt").write_bytes(b"epoch 3")
    (tmp_path / "one" / "state.json").write_bytes(b"{}")
    first.save()
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "older.pt").write_bytes(b"of an earlier owner on this machine")
    checkpoints(store, tmp_path / "two").restore()
    found = {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    assert found == {"weights.pt": b"epoch 3", "state.json": b"{}"}


def test_only_what_changed_is_copied_again(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = checkpoints(store, tmp_path / "one")
    kept.restore()
    (tmp_path / "one" / "a.pt").write_bytes(b"1")
    (tmp_path / "one" / "b.pt").write_bytes(b"1")
    kept.save()
    written: list[str] = []
    put = store.put
    monkeypatch.setattr(store, "put", lambda key, content: (written.append(key), put(key, content)))
    kept.save()
    assert written == []
    (tmp_path / "one" / "b.pt").write_bytes(b"22")
    kept.save()
    assert written == [PREFIX + "b.pt"]
    restored = checkpoints(store, tmp_path / "two")
    restored.restore()
    written.clear()
    restored.save()
    assert written == [], "what was just restored is there already"


def test_half_written_files_stay_here(store: LocalStore, tmp_path: Path) -> None:
    kept = checkpoints(store, tmp_path / "one")
    kept.restore()
    (tmp_path / "one" / "a.pt.partial").write_bytes(b"half")
    (tmp_path / "one" / "folder").mkdir()
    kept.save()
    assert copies(store) == {}


def test_a_beat_during_restore_copies_no_half_file_back(store: LocalStore, tmp_path: Path) -> None:
    """The lease beats from the moment it is taken, also while its owner restores."""
    before = checkpoints(store, tmp_path / "one")
    before.restore()
    (tmp_path / "one" / "a.pt").write_bytes(b"whole" * 1000)
    before.save()

    class Beating(LocalStore):
        @contextmanager
        def local(self, key: str, digest: str | None = None) -> Iterator[Path]:
            with super().local(key, digest) as path:
                yield path
                (incoming,) = (tmp_path / "two").iterdir()
                content = incoming.read_bytes()
                incoming.write_bytes(content[:10])
                heir.save()
                incoming.write_bytes(content)

    heir = checkpoints(Beating(store.folder), tmp_path / "two")
    heir.restore()
    assert copies(store) == {"a.pt": b"whole" * 1000}
    assert (tmp_path / "two" / "a.pt").read_bytes() == b"whole" * 1000


def test_a_damaged_copy_is_left_out_and_removed(store: LocalStore, tmp_path: Path) -> None:
    before = checkpoints(store, tmp_path / "one")
    before.restore()
    for name in ("good.pt", "bad.pt"):
        (tmp_path / "one" / name).write_bytes(name.encode())
    before.save()

    class Damaging(LocalStore):
        @contextmanager
        def local(self, key: str, digest: str | None = None) -> Iterator[Path]:
            if key.endswith("bad.pt"):
                raise ArtifactError(f"{key}: other bytes than were put")
            with super().local(key, digest) as path:
                yield path

    checkpoints(Damaging(store.folder), tmp_path / "two").restore()
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["good.pt"]
    assert copies(store) == {"good.pt": b"good.pt"}


def test_without_a_folder_nothing_is_saved(store: LocalStore, tmp_path: Path) -> None:
    checkpoints(store, tmp_path / "none").save()
    assert copies(store) == {}


def test_a_unit_that_is_done_leaves_none_and_no_other_unit_loses_its_own(store: LocalStore, tmp_path: Path) -> None:
    other = Unit("train", ("all", "single-year"))
    for unit in (UNIT, other):
        kept = checkpoints(store, tmp_path / unit.key[1], unit)
        kept.restore()
        (tmp_path / unit.key[1] / "a.pt").write_bytes(b"1")
        kept.save()
    checkpoints(store, tmp_path / UNIT.key[1]).remove()
    assert copies(store) == {}
    assert not (tmp_path / UNIT.key[1]).exists()
    assert [item.key for item in store.list(f"{CHECKPOINTS}/")] == [f"{CHECKPOINTS}/demo/{checkpoint_name(other)}/a.pt"]
    checkpoints(store, tmp_path / UNIT.key[1]).remove()
