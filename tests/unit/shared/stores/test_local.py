"""The folder as a store."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from landseries.errors import StoreError, StoreFull
from landseries.stores.local import LocalStore
from tests.unit.shared.stores.behaviour import StoreBehaviour


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


class TestLocalStore(StoreBehaviour):
    """All of a store's behaviour."""


def test_a_killed_writer_leaves_no_half_object(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from landseries.stores.local import LocalStore\n"
        "store = LocalStore(Path(sys.argv[1]))\n"
        "print('go', flush=True)\n"
        "while True: store.put('big', b'x' * 50_000_000)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    for _ in range(50):
        time.sleep(0.05)
        if any((tmp_path / ".incoming").iterdir()):
            break
    writer.kill()
    writer.wait()
    writer.stdout.close()
    store = LocalStore(tmp_path)
    content = store.get("big")
    assert content is None or len(content) == 50_000_000
    assert all(not item.key.startswith(".") for item in store.list(""))
    store.clean()
    assert not any((tmp_path / ".incoming").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="the full disk is a small tmpfs, which needs Linux")
def test_a_full_disk_is_said_so_and_nothing_is_lost(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here: " + mounted.stderr.decode().strip())
    try:
        store = LocalStore(small / "store")
        store.put("before", b"kept")
        with pytest.raises(StoreFull, match="the disk is full; free some space"):
            store.put("large", os.urandom(2_000_000))
        assert store.get("before") == b"kept"
        assert not store.exists("large")
        store.put("small", b"fits again, the half object is gone")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        LocalStore(tmp_path / "file")
