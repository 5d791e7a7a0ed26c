"""The content cache: nothing twice, nothing in use removed, never beyond its bound."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseries.errors import ConfigError
from landseries_fetcher.remote.cache import CacheFull, ContentCache, ContentKey
from landseries_fetcher.remote.reader import FileRanges

MEGABYTE = 1 << 20


def _key(name: str) -> ContentKey:
    return ContentKey("archive", "product", f"{name}.jp2", "1")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "source"
    path.write_bytes(random.Random(1).randbytes(MEGABYTE))
    return path


def _complete(cache: ContentCache, name: str, source: Path) -> int:
    with cache.open(_key(name), lambda known: FileRanges(source)) as copy:
        return copy.complete()


def test_a_second_open_downloads_nothing(tmp_path: Path, source: Path) -> None:
    cache = ContentCache(tmp_path, 10 * MEGABYTE)
    assert _complete(cache, "a", source) == MEGABYTE
    assert _complete(ContentCache(tmp_path, 10 * MEGABYTE), "a", source) == 0
    with cache.open(ContentKey("archive", "product", "a.jp2", "2"), lambda known: FileRanges(source)) as copy:
        assert copy.complete() == MEGABYTE, "another identity is another copy"
        assert copy.path.name == "a.jp2"


def test_the_least_recently_used_go_first(tmp_path: Path, source: Path) -> None:
    cache = ContentCache(tmp_path, 4 * MEGABYTE)
    for name in "abc":
        _complete(cache, name, source)
        time.sleep(0.01)
    assert _complete(cache, "a", source) == 0
    assert _complete(cache, "d", source) == MEGABYTE
    assert cache.used_bytes() <= cache.max_bytes
    assert _complete(cache, "a", source) == 0, "it was used after b"
    assert _complete(cache, "b", source) == MEGABYTE


def test_what_is_in_use_stays(tmp_path: Path, source: Path) -> None:
    cache = ContentCache(tmp_path, 4 * MEGABYTE, wait_s=0.3)
    with cache.open(_key("a"), lambda known: FileRanges(source)) as copy:
        copy.complete()
        for name in "bcde":
            _complete(cache, name, source)
            assert cache.used_bytes() <= cache.max_bytes
        assert copy.complete() == 0
        assert copy.path.read_bytes() == source.read_bytes()


def test_no_room_is_an_error_in_words(tmp_path: Path, source: Path) -> None:
    cache = ContentCache(tmp_path, 2 * MEGABYTE, wait_s=0.3)
    with cache.open(_key("a"), lambda known: FileRanges(source)) as copy:
        copy.complete()
        with pytest.raises(CacheFull, match=r"of 2097152 bytes has no room .* fewer workers"):
            _complete(cache, "b", source)
    assert _complete(cache, "b", source) == MEGABYTE
    with pytest.raises(CacheFull):
        _complete(ContentCache(tmp_path / "small", 100_000), "a", source)
    with pytest.raises(ConfigError, match="give it 65536 or more"):
        ContentCache(tmp_path, 10)


def test_a_damaged_cache_folder_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be used as a content cache"):
        ContentCache(tmp_path / "file", MEGABYTE)


def _use_many(folder: Path, source: Path, seed: int) -> None:
    draw = random.Random(seed)
    cache = ContentCache(folder, 6 * MEGABYTE)
    content = source.read_bytes()
    for _ in range(25):
        with cache.open(_key(draw.choice("abcdefgh")), lambda known: FileRanges(source)) as copy:
            start = draw.randrange(MEGABYTE // 2)
            copy.ensure([(start, start + MEGABYTE // 2)])
            assert copy.path.read_bytes()[start : start + MEGABYTE // 2] == content[start : start + MEGABYTE // 2]


def test_several_processes_keep_the_bound(tmp_path: Path, source: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_use_many, args=(tmp_path, source, seed)) for seed in range(4)]
    for worker in workers:
        worker.start()
    cache, most = ContentCache(tmp_path, 6 * MEGABYTE), 0
    while any(worker.is_alive() for worker in workers):
        most = max(most, cache.used_bytes())
        time.sleep(0.01)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert MEGABYTE < most <= 6 * MEGABYTE


def _claim_and_die(folder: Path) -> None:
    cache = ContentCache(folder, 4 * MEGABYTE)
    claim = cache.claim(3 * MEGABYTE)
    assert not claim.closed
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_dead_claim_nothing(tmp_path: Path, source: Path) -> None:
    worker = multiprocessing.get_context("fork").Process(target=_claim_and_die, args=(tmp_path,))
    worker.start()
    worker.join()
    cache = ContentCache(tmp_path, 4 * MEGABYTE, wait_s=0)
    (tmp_path / "trash" / "half").mkdir()
    (tmp_path / "trash" / "half" / "data").write_bytes(bytes(1000))
    assert _complete(cache, "a", source) == MEGABYTE
    assert not list((tmp_path / "claims").iterdir())
    assert not list((tmp_path / "trash").iterdir())


def test_the_living_claim_theirs(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path, 4 * MEGABYTE, wait_s=0)
    claim = cache.claim(3 * MEGABYTE)
    with pytest.raises(CacheFull):
        cache.claim(2 * MEGABYTE)
    claim.close()
    cache.claim(2 * MEGABYTE).close()


@given(asset=st.text(max_size=200))
def test_names_lead_nowhere(asset: str) -> None:
    name = ContentKey("s", "p", asset, "").file_name
    assert 0 < len(name) <= 120
    assert name not in (".", "..", "present.json", "fill.lock", "use.lock")
    assert "/" not in name
    assert Path(name).name == name


@pytest.mark.parametrize(
    ("asset", "name"),
    [("a/b/T32TQS_B02_10m.jp2", "T32TQS_B02_10m.jp2"), ("../..", "image"), ("x/use.lock", "image-use.lock")],
)
def test_names_stay_readable(asset: str, name: str) -> None:
    assert ContentKey("s", "p", asset, "").file_name == name
