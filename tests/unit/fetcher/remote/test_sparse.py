"""Sparse copies: what is present stays so, whatever happens in between."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseries.errors import SourceError
from landseries_fetcher.remote.reader import FileRanges, Identity, RemoteChanged, RemoteError
from landseries_fetcher.remote.sparse import SparseCopy

CONTENT = random.Random(4).randbytes(100_000)
LENGTH = len(CONTENT)


class Memory:
    """Bytes behind the protocol; counts what is read, and may break off or kill the process."""

    def __init__(self, content: bytes = CONTENT, *, etag: str = "1", has_ranges: bool = True) -> None:
        self.name = "memory"
        self.identity = Identity(len(content), etag, has_ranges)
        self.content = content
        self.asked: list[tuple[int, int]] = []
        self.breaks_after: int | None = None

    def read(self, ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
        for start, stop in ranges:
            self.asked.append((start, stop))
            for at in range(start, stop, 1000):
                if self.breaks_after is not None and at >= self.breaks_after:
                    raise RemoteError("memory broke off")
                yield at, self.content[at : min(at + 1000, stop)]

    @property
    def read_bytes(self) -> int:
        return sum(stop - start for start, stop in self.asked)


def _copy(folder: Path, reader: Memory, gap_bytes: int = 65_536) -> SparseCopy:
    return SparseCopy(folder, "copy.bin", lambda known: reader, gap_bytes=gap_bytes)


@settings(max_examples=60, deadline=None)
@given(ranges=st.lists(st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)), max_size=6), gap=st.integers(0, 5000))
def test_what_was_ensured_is_there(
    tmp_path_factory: pytest.TempPathFactory, ranges: list[tuple[int, int]], gap: int
) -> None:
    folder, reader = tmp_path_factory.mktemp("copy"), Memory()
    wanted = [(min(pair), max(pair)) for pair in ranges]
    for start, stop in wanted:
        copy = _copy(folder, reader, gap_bytes=gap)
        copy.ensure([(start, stop)])
        assert copy.path.read_bytes()[start:stop] == CONTENT[start:stop]
    found = copy.path.read_bytes() if wanted else b""
    assert all(found[start:stop] == CONTENT[start:stop] for start, stop in wanted)
    assert len(found) in (0, LENGTH)
    asked = sorted(reader.asked)
    assert all(before[1] <= after[0] for before, after in pairwise(asked)), "nothing twice"


def test_only_the_first_need_opens_the_reader(tmp_path: Path) -> None:
    opened: list[Identity | None] = []

    def open_reader(known: Identity | None) -> Memory:
        opened.append(known)
        return Memory()

    SparseCopy(tmp_path, "copy.bin", open_reader).ensure([(0, 100)])
    SparseCopy(tmp_path, "copy.bin", open_reader).ensure([(10, 50)])
    assert opened == [None]
    SparseCopy(tmp_path, "copy.bin", open_reader).ensure([(10, 200)])
    assert opened == [None, Identity(LENGTH, "1")]


def test_the_file_takes_no_space_where_nothing_is(tmp_path: Path) -> None:
    copy = _copy(tmp_path, Memory())
    copy.ensure([(90_000, 90_010)])
    assert copy.path.stat().st_size == LENGTH
    assert copy.path.stat().st_blocks * 512 < LENGTH / 2
    assert not copy.is_complete()
    assert copy.complete() == LENGTH - 10
    assert copy.is_complete()
    assert copy.path.read_bytes() == CONTENT


def test_a_source_without_ranges_is_copied_whole(tmp_path: Path) -> None:
    copy = _copy(tmp_path, Memory(has_ranges=False))
    assert copy.ensure([(5, 6)]) == LENGTH
    assert copy.is_complete()


def test_another_object_is_not_mixed_in(tmp_path: Path) -> None:
    _copy(tmp_path, Memory()).ensure([(0, 5000)])
    other = Memory(CONTENT[::-1], etag="2")
    copy = _copy(tmp_path, other)
    copy.ensure([(0, 5000)])
    with pytest.raises(RemoteChanged, match="another object than the one"):
        copy.ensure([(0, 6000)])
    copy.remember("index", {"a": 1})
    copy.discard()
    assert copy.recall("index") is None
    copy.complete()
    assert copy.path.read_bytes() == CONTENT[::-1]


def test_a_transfer_that_broke_off_goes_on(tmp_path: Path) -> None:
    reader = Memory()
    reader.breaks_after = 40_000
    with pytest.raises(RemoteError, match="broke off"):
        _copy(tmp_path, reader).complete()
    reader.breaks_after = None
    assert _copy(tmp_path, reader).complete() == 60_000


@pytest.mark.parametrize(
    "record",
    [b"", b"{", b"[]", b'{"version":1}', b'{"version":1,"size":5,"etag":"","has_ranges":true,"present":[[0,9]]}'],
)
def test_a_record_that_makes_no_sense_begins_anew(tmp_path: Path, record: bytes) -> None:
    copy = _copy(tmp_path, Memory())
    copy.ensure([(0, 1000)])
    copy.remember("index", {"a": 1})
    copy.path.write_bytes(bytes(LENGTH))
    (tmp_path / "present.json").write_bytes(record)
    assert copy.ensure([(0, 1000)]) == 1000
    assert copy.path.read_bytes()[:1000] == CONTENT[:1000]
    assert copy.recall("index") is None, "an index of who knows what is not kept"


def test_a_file_of_another_length_begins_anew(tmp_path: Path) -> None:
    copy = _copy(tmp_path, Memory())
    copy.ensure([(0, 1000)])
    os.truncate(copy.path, 10)
    assert copy.ensure([(0, 1000)]) == 1000


def test_ranges_outside_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="100000 bytes"):
        _copy(tmp_path, Memory()).ensure([(0, LENGTH + 1)])


def test_sketches_do_not_count_and_do_not_overwrite(tmp_path: Path) -> None:
    copy = _copy(tmp_path, Memory())
    with copy.filling() as filling:
        filling.ensure([(100, 200)])
        filling.sketch(50, b"s" * 300)
    found = copy.path.read_bytes()
    assert found[50:100] == b"s" * 50
    assert found[100:200] == CONTENT[100:200]
    assert found[200:350] == b"s" * 150
    copy.ensure([(0, 1000)])
    assert copy.path.read_bytes()[:1000] == CONTENT[:1000]


def test_a_full_disk_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    copy = _copy(tmp_path, Memory())
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(SourceError, match="the disk of the content cache is full"):
            copy.ensure([(0, 10)])
    assert copy.ensure([(0, 10)]) == 10


def _fill(folder: Path, source: Path, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(30):
        start = draw.randrange(LENGTH)
        copy = SparseCopy(folder, "copy.bin", lambda known: FileRanges(source), gap_bytes=0)
        copy.ensure([(start, min(LENGTH, start + draw.randrange(9000)))])


def _fill_and_die(folder: Path, seed: int) -> None:
    draw = random.Random(seed)
    reader = Memory()
    copy = _copy(folder, reader)
    written = os.pwrite

    def pwrite(handle: int, content: bytes, offset: int) -> int:
        if draw.random() < 0.1:
            os.kill(os.getpid(), signal.SIGKILL)
        return written(handle, content, offset)

    os.pwrite = pwrite  # type: ignore[assignment]
    copy.ensure([(draw.randrange(50_000), LENGTH)])


def test_several_processes_fill_one_copy(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_fill, args=(tmp_path / "copy", source, seed)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    _check_present(tmp_path / "copy")


def test_killed_processes_leave_only_what_is_true(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for seed in range(12):
        worker = context.Process(target=_fill_and_die, args=(tmp_path, seed))
        worker.start()
        worker.join()
        if (tmp_path / "present.json").exists():
            _check_present(tmp_path)
    copy = _copy(tmp_path, Memory())
    copy.complete()
    assert copy.path.read_bytes() == CONTENT


def _check_present(folder: Path) -> None:
    found = (folder / "copy.bin").read_bytes()
    for start, stop in json.loads((folder / "present.json").read_bytes())["present"]:
        assert found[start:stop] == CONTENT[start:stop]
