"""A folder of products that processes share: made once, bounded, never taken from under a reader."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from landseries.errors import ConfigError
from landseries.gates import NotNow
from landseries_fetcher.bounded_folder import disk_bytes
from landseries_fetcher.product_cache import FILES, ProductCache

MIB = 1 << 20


def _maker(size: int = MIB, made: Path | None = None) -> Callable[[Path], None]:
    def make(workshop: Path) -> None:
        (workshop / FILES / "image").write_bytes(os.urandom(size))
        if made is not None:
            with made.open("a") as log:
                log.write(f"{os.getpid()}\n")

    return make


def _never(_: Path) -> None:
    raise AssertionError("it is there already")


def _age(folder: Path, key: str, seconds: float) -> None:
    os.utime(folder / "products" / key, (time.time() - seconds,) * 2)


def _keys(folder: Path) -> set[str]:
    return set(os.listdir(folder / "products"))


def test_made_once_and_found_by_others(tmp_path: Path) -> None:
    first = ProductCache(tmp_path, 10 * MIB).hold("a", MIB, _maker())
    second = ProductCache(tmp_path, 10 * MIB).hold("a", MIB, _never)
    assert first.path == second.path
    assert (first.path / "image").stat().st_size == MIB
    assert not os.listdir(tmp_path / "partial")


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = ProductCache(tmp_path, int(3.5 * MIB))
    for place, key in enumerate("abc"):
        cache.hold(key, MIB, _maker()).release()
        _age(tmp_path, key, 100 - place)
    cache.hold("a", MIB, _never).release()
    cache.hold("d", MIB, _maker()).release()
    assert _keys(tmp_path) == {"a", "c", "d"}


def test_what_is_held_stays(tmp_path: Path) -> None:
    cache = ProductCache(tmp_path, int(2.5 * MIB), wait_s=0.2)
    held = [cache.hold(key, MIB, _maker()) for key in "ab"]
    with pytest.raises(NotNow, match="full of products that other workers use"):
        cache.hold("c", MIB, _maker())
    assert _keys(tmp_path) == {"a", "b"}
    held[0].release()
    cache.hold("c", MIB, _maker())
    assert _keys(tmp_path) == {"b", "c"}


def test_an_entry_goes_when_its_last_reader_is_forgotten(tmp_path: Path) -> None:
    cache = ProductCache(tmp_path, int(1.5 * MIB), wait_s=0.2)
    held = cache.hold("a", MIB, _maker())
    with pytest.raises(NotNow):
        cache.hold("b", MIB, _maker())
    del held
    cache.hold("b", MIB, _maker())
    assert _keys(tmp_path) == {"b"}


def test_what_can_never_fit_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source\.cache_gib"):
        ProductCache(tmp_path, MIB).hold("a", 2 * MIB, _maker())


def test_a_failure_leaves_no_entry_but_what_was_downloaded(tmp_path: Path) -> None:
    cache = ProductCache(tmp_path, 10 * MIB)

    def fails(workshop: Path) -> None:
        (workshop / FILES / "image").write_bytes(b"half")
        (workshop / "download").write_bytes(b"part")
        raise OSError("the network is gone")

    with pytest.raises(OSError, match="gone"):
        cache.hold("a", MIB, fails)
    assert not _keys(tmp_path)

    def goes_on(workshop: Path) -> None:
        assert (workshop / "download").read_bytes() == b"part"
        assert not os.listdir(workshop / FILES), "what was unpacked before is not trusted"
        (workshop / FILES / "image").write_bytes(b"whole")

    assert (cache.hold("a", MIB, goes_on).path / "image").read_bytes() == b"whole"


def test_downloads_that_were_given_up_make_room(tmp_path: Path) -> None:
    cache = ProductCache(tmp_path, 3 * MIB)

    def fails(workshop: Path) -> None:
        (workshop / "download").write_bytes(bytes(MIB))
        raise OSError("the network is gone")

    with pytest.raises(OSError, match="gone"):
        cache.hold("a", 2 * MIB, fails)
    cache.hold("b", 2 * MIB, _maker())
    assert not (tmp_path / "partial" / "a").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("-")
    with pytest.raises(ConfigError, match="LANDSERIES_CACHE_FOLDER"):
        ProductCache(tmp_path / "file", MIB)


def _work(folder: Path, made: Path, seed: int) -> None:
    cache = ProductCache(folder, int(4.5 * MIB), wait_s=30)
    for step in range(12):
        key = f"k{(seed * 5 + step * (seed + 3)) % 6}"

        def make(workshop: Path, key: str = key) -> None:
            (workshop / FILES / "image").write_bytes(key.encode() * (MIB // 2))
            with made.open("a") as log:
                log.write(f"{key}\n")

        try:
            held = cache.hold(key, MIB, make)
        except NotNow:
            time.sleep(0.01)
            continue
        content = (held.path / "image").read_bytes()
        assert content == key.encode() * (MIB // 2), "an entry is whole and its own for as long as it is held"
        held.release()


def test_processes_side_by_side(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_work, args=(tmp_path / "cache", tmp_path / "made", seed)) for seed in range(4)]
    for worker in workers:
        worker.start()
    largest = 0
    while any(worker.is_alive() for worker in workers):
        largest = max(largest, disk_bytes(tmp_path / "cache" / "products") + disk_bytes(tmp_path / "cache" / "partial"))
        time.sleep(0.005)
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert largest <= 4.5 * MIB + MIB, "the bound holds, but for one entry that was renamed while it was counted"
    assert not os.listdir(tmp_path / "cache" / "partial")
