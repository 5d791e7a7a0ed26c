"""Zip archives, honest and hostile: nothing leaves the folder, nothing fills it, and one bad entry refuses all."""

from __future__ import annotations

import io
import os
import random
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from landseries_fetcher.sources.dhus_files import RemoteFile, is_needed
from landseries_fetcher.unzipping import BadArchive, UnzipLimits, unzip

Entry = tuple[str | zipfile.ZipInfo, bytes]


def _zip(*entries: Entry, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return sink.getvalue()


def _typed(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = mode << 16
    return entry


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """Unpacks an archive and returns what then lies in the folder; the folder's surroundings must stay as they are."""

    def unpack(content: bytes, limits: UnzipLimits | None = None) -> dict[str, bytes]:
        return _unpack(tmp_path, content, limits)

    return unpack


def _unpack(base: Path, content: bytes, limits: UnzipLimits | None = None) -> dict[str, bytes]:
    archive, folder = base / "a.zip", base / "deep" / "folder"
    archive.write_bytes(content)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        unzip(archive, folder, lambda _: True, limits or UnzipLimits())
    finally:
        everything = {path for path in base.rglob("*") if folder not in path.parents}
        assert everything == {archive, base / "deep", folder}, "something was written beside the folder"
        assert not any(path.is_symlink() for path in folder.rglob("*"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_honest_archive(unpacked: Callable[..., dict[str, bytes]]) -> None:
    files = {"x.SAFE/a.xml": b"<a/>" * 99, "x.SAFE/GRANULE/b.jp2": os.urandom(70_000), "x.SAFE/empty": b""}
    assert unpacked(_zip(("x.SAFE/", b""), *files.items())) == files


def test_only_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(_zip(("x/a", b"1"), ("x/b", b"2"), ("y/", b"")))
    (tmp_path / "folder").mkdir()
    assert unzip(tmp_path / "a.zip", tmp_path / "folder", lambda name: name == "x/b") == ("x/b",)
    assert [path.name for path in (tmp_path / "folder").rglob("*")] == ["x", "b"]


_PATHS = ["/etc/passwd", "../up", "x/../../up", "..", "x/..", "./x", "x//y", "x/.", "//server/share", "C:/x", "C:x"]
_LETTERS = ["\\up", "x\\..\\up", "x\ny", "x\x7f", "\u202ex", "x" * 256, "/".join(["x"] * 600)]


@pytest.mark.parametrize("name", [*_PATHS, *_LETTERS])
def test_names_that_lead_elsewhere(unpacked: Callable[..., dict[str, bytes]], name: str) -> None:
    with pytest.raises(BadArchive, match=r"leads out of|has a name"):
        unpacked(_zip(("good", b"1"), (name, b"2")))


def test_a_zero_byte_in_a_name(unpacked: Callable[..., dict[str, bytes]]) -> None:
    content = _zip(("goodXup", b"1")).replace(b"goodXup", b"good\0up")
    with pytest.raises(BadArchive, match=r"has a name|damaged"):
        unpacked(content)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_special_files(unpacked: Callable[..., dict[str, bytes]], kind: int) -> None:
    with pytest.raises(BadArchive, match="link or a special file"):
        unpacked(_zip(("good", b"1"), (_typed("bad", kind | 0o777), b"/etc/passwd")))


def test_a_file_through_a_link(unpacked: Callable[..., dict[str, bytes]]) -> None:
    with pytest.raises(BadArchive, match="link"):
        unpacked(_zip((_typed("x", stat.S_IFLNK | 0o777), b"/tmp"), ("x/y", b"2")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a", "a"), ("a", "A"), ("a/b", "a/b"), ("a/", "a")])
def test_a_name_twice(unpacked: Callable[..., dict[str, bytes]], names: tuple[str, str]) -> None:
    with pytest.raises(BadArchive, match="twice"):
        unpacked(_zip((names[0], b""), (names[1], b"2")))


def test_a_file_that_is_a_folder_too(unpacked: Callable[..., dict[str, bytes]]) -> None:
    with pytest.raises(BadArchive, match="as a file and as a folder"):
        unpacked(_zip(("a", b"1"), ("a/b", b"2")))


def test_bombs(unpacked: Callable[..., dict[str, bytes]]) -> None:
    with pytest.raises(BadArchive, match="unpacks from"):
        unpacked(_zip(("a", bytes(30 << 20))))
    with pytest.raises(BadArchive, match="bytes unpacked"):
        unpacked(_zip(*((str(place), bytes(1 << 20)) for place in range(5))), UnzipLimits(total_bytes=4 << 20))
    with pytest.raises(BadArchive, match="unpacks to 1048577 bytes"):
        unpacked(_zip(("a", bytes(1 << 20)), ("b", b"1")), UnzipLimits(wanted_bytes=1 << 20))
    with pytest.raises(BadArchive, match="2001 entries"):
        unpacked(_zip(*((str(place), b"") for place in range(2_001))), UnzipLimits(entries=2_000))


def test_a_bomb_that_lies_about_its_size(unpacked: Callable[..., dict[str, bytes]]) -> None:
    content = _zip(("a", bytes(20 << 20)))
    size = struct.pack("<L", 20 << 20)
    assert content.count(size) == 2
    with pytest.raises(BadArchive, match="damaged"):
        unpacked(content.replace(size, struct.pack("<L", 1_000)))


def test_a_directory_that_fills_the_memory(unpacked: Callable[..., dict[str, bytes]]) -> None:
    entries = b"".join(
        struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 6, 60_000, 0, 0, 0, 0, 0)
        + b"%06d" % place
        + bytes(60_000)
        for place in range(200)
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 200, 200, len(entries), 0, 0)
    with pytest.raises(BadArchive, match="directory of more than 8 MiB"):
        unpacked(entries + end)


def test_encryption_and_other_methods(unpacked: Callable[..., dict[str, bytes]]) -> None:
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(BadArchive, match="another method"):
            unpacked(_zip(("a", b"1" * 99), method=method))
    content = bytearray(_zip(("a", b"1")))
    content[content.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(BadArchive, match="encrypted"):
        unpacked(bytes(content))


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>sorry</html>", b"PK\5\6" + bytes(18)[:-3]])
def test_no_zip_at_all(unpacked: Callable[..., dict[str, bytes]], content: bytes) -> None:
    with pytest.raises(BadArchive, match="no zip archive"):
        unpacked(content)


def _harmless(name: str) -> bool:
    return all(part not in ("", ".", "..") for part in name.removesuffix("/").split("/")) and not name.startswith("/")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text("ab./\\:é\n ", min_size=1, max_size=12), min_size=1, max_size=4, unique=True))
@example(["a/../../b"])
def test_whatever_the_names_nothing_leaves_the_folder(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as base:
        try:
            found = _unpack(Path(base), _zip(*((_typed(name, 0), name.encode()) for name in names)))
        except BadArchive:
            return
        assert all(_harmless(name) for name in names)
        assert set(found) == {name for name in names if not name.endswith("/")}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_whatever_is_damaged_is_refused_or_unpacked_right(chance: random.Random) -> None:
    """Damage anywhere does no more than refuse an archive, and never goes unnoticed in a file's content."""
    files = {"x/a.xml": b"<a/>" * 50, "x/b": bytes(range(256)) * 4}
    content = bytearray(_zip(*files.items()))
    for place in _places(chance, len(content)):
        content[place] = chance.randrange(256)
    if chance.random() < 0.2:
        del content[chance.randrange(len(content)) :]
    with tempfile.TemporaryDirectory() as base:
        try:
            found = _unpack(Path(base), bytes(content), UnzipLimits(total_bytes=1 << 20))
        except BadArchive:
            return
        # A name may be another one; what is in a file is guarded by its checksum.
        assert set(found.values()) <= {*files.values(), b""}


def _places(chance: random.Random, length: int) -> Iterator[int]:
    for _ in range(chance.randint(1, 6)):
        yield chance.randrange(length)


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=400), st.lists(st.integers(0, 500), max_size=8), st.integers(1, 64))
def test_a_file_far_away_reads_like_one_at_hand(content: bytes, places: list[int], block: int) -> None:
    asked: list[tuple[int, int]] = []

    def fetch(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return content[start:stop]

    far, near = RemoteFile(len(content), fetch, block), io.BytesIO(content)
    for place in places:
        assert far.seek(place) == near.seek(place) == far.tell()
        assert far.read(place % 37) == near.read(place % 37)
    far.seek(-1, io.SEEK_END)
    assert far.read(9) == content[-1:]
    with pytest.raises(OSError, match="before the start"):
        far.seek(-1)
    assert len(asked) == len(set(asked)), "no block is fetched twice"


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("P.SAFE/MTD_MSIL2A.xml", True),
        ("P.SAFE/MTD_MSIL2a.xml", True),
        ("P.SAFE/GRANULE/L2A_x/MTD_TL.xml", True),
        ("P.SAFE/DATASTRIP/DS_x/MTD_DS.xml", True),
        ("P.SAFE/DATASTRIP/DS_x/QI_DATA/report.xml", False),
        ("P.SAFE/GRANULE/L2A_x/IMG_DATA/R10m/T_B02_10m.jp2", True),
        ("P.SAFE/GRANULE/L2A_x/IMG_DATA/R20m/T_SCL_20m.jp2", True),
        ("P.SAFE/GRANULE/L2A_x/IMG_DATA/R20m/T_B02_20m.jp2", False),
        ("P.SAFE/GRANULE/L2A_x/IMG_DATA/R60m/T_B01_60m.jp2", False),
        ("P.SAFE/GRANULE/MTD_TL.xml", False),
        ("P.SAFE/manifest.safe", False),
        ("Q.SAFE/MTD_MSIL2A.xml", False),
        ("PxSAFE/GRANULE/L2A_x/MTD_TL.xml", False),
    ],
)
def test_what_is_needed_of_a_product(name: str, needed: bool) -> None:
    assert is_needed(name, "P") is needed
