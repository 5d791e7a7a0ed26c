"""The directories of a TIFF file: which images it holds, and where their blocks lie (TIFF 6.0; BigTIFF).

Only what the reading of windows needs is looked at. Every number that the file gives is checked against the file's
length before anything of that size is read or held in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from landseries_fetcher.remote.byte_ranges import ByteRange, merged
from landseries_fetcher.remote.reader import HEAD_BYTES
from landseries_fetcher.remote.windows import BadStructure, Bytes, Pages

_WIDTH, _LENGTH, _SUBFILE, _SAMPLES, _PLANAR = 256, 257, 254, 277, 284
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_COUNTS = 273, 278, 279
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
#: Field type -> bytes of one value (TIFF 6.0, page 15; BigTIFF adds 16 to 18).
_TYPE_BYTES: Final = {
    **{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4},
    **{16: 8, 17: 8, 18: 8},
}
_INTEGER_TYPES: Final = frozenset({1, 3, 4, 13, 16, 18})
_DIRECTORIES_MAX: Final = 64
_ENTRIES_MAX: Final = 1_000
_BLOCKS_MAX: Final = 2_000_000
_HEADERS_MAX_BYTES: Final = 64 * 2**20


@dataclass(frozen=True)
class Directory:
    """One image of the file.

    Attributes:
        shape: (columns, rows).
        block_shape: (columns, rows) of a tile, or of a strip.
        planes: how many planes lie one after the other; 1 where the bands of a pixel lie together.
        is_reduced: an overview.
        is_mask: a mask of valid pixels.
        offsets: of the blocks, along rows and plane after plane; 0 where a block is not stored.
        counts: bytes of the blocks, in the same order.
    """

    shape: tuple[int, int]
    block_shape: tuple[int, int]
    planes: int
    is_reduced: bool
    is_mask: bool
    offsets: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def blocks(self) -> tuple[int, int]:
        """Number of blocks (across, down)."""
        return -(-self.shape[0] // self.block_shape[0]), -(-self.shape[1] // self.block_shape[1])


@dataclass(frozen=True)
class TiffStructure:
    """The directories of a file, and the bytes that a reader needs to find them."""

    directories: tuple[Directory, ...]
    headers: tuple[ByteRange, ...]


def read_structure(source: Bytes) -> TiffStructure:
    """Read all directories.

    Raises:
        BadStructure: it is no TIFF file, or its directories contradict themselves or the file.
    """
    return _Reading(source).structure()


@dataclass(frozen=True)
class _Entry:
    kind: int
    count: int
    place: int


class _Reading:
    """One walk along the directories."""

    def __init__(self, source: Bytes) -> None:
        self._name, self._size = source.name, source.size
        self._pages = Pages(source, HEAD_BYTES, _HEADERS_MAX_BYTES)
        self._headers: list[ByteRange] = []
        head = self._pages.read(0, 8)
        self._order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
        version = self._number(2, 2) if head[:2] in (b"II", b"MM") else 0
        if version not in (42, 43) or (version == 43 and self._number(4, 4) != 8):
            raise BadStructure(f"{self._name} is no TIFF file")
        self._is_big = version == 43

    def structure(self) -> TiffStructure:
        word = 8 if self._is_big else 4
        place = self._number(word if self._is_big else 4, word)
        self._headers.append((0, 16 if self._is_big else 8))
        found: list[Directory] = []
        seen: set[int] = set()
        while place:
            if place in seen or len(seen) == _DIRECTORIES_MAX:
                raise BadStructure(f"{self._name}: its directories form a circle or are more than {_DIRECTORIES_MAX}")
            seen.add(place)
            entries, after = self._entries(place)
            found.append(self._directory(entries))
            place = self._number(after, word)
        if not found:
            raise BadStructure(f"{self._name} holds no image")
        return TiffStructure(tuple(found), tuple(merged(self._headers)))

    def _entries(self, place: int) -> tuple[dict[int, _Entry], int]:
        """Tag -> entry, and where the offset of the next directory stands; values elsewhere in the file are noted."""
        count_bytes, entry_bytes, word = (8, 20, 8) if self._is_big else (2, 12, 4)
        count = self._number(place, count_bytes)
        if not 0 < count <= _ENTRIES_MAX:
            raise BadStructure(f"{self._name}: its directory at byte {place} has {count} entries")
        entries: dict[int, _Entry] = {}
        first = place + count_bytes
        self._headers.append((place, first + count * entry_bytes + word))
        for at in range(first, first + count * entry_bytes, entry_bytes):
            tag, kind = self._number(at, 2), self._number(at + 2, 2)
            number, value = self._number(at + 4, word), at + 4 + word
            length = number * _TYPE_BYTES.get(kind, 1)
            if length > word:
                value = self._number(value, word)
                if length > _HEADERS_MAX_BYTES or value + length > self._size:
                    raise BadStructure(f"{self._name}: its tag {tag} lies outside the file or is beyond all bounds")
                self._headers.append((value, value + length))
            entries[tag] = _Entry(kind, number, value)
        return entries, first + count * entry_bytes

    def _directory(self, entries: dict[int, _Entry]) -> Directory:
        def one(tag: int, default: int | None = None) -> int:
            return self._numbers(entries, tag, 1, default)[0]

        shape = (one(_WIDTH), one(_LENGTH))
        is_tiled = _TILE_OFFSETS in entries
        block = (one(_TILE_WIDTH), one(_TILE_LENGTH)) if is_tiled else (shape[0], one(_ROWS_PER_STRIP, shape[1]))
        if min(*shape, *block) < 1:
            raise BadStructure(f"{self._name}: an image of {shape} pixels in blocks of {block}")
        block = (block[0], min(block[1], shape[1])) if not is_tiled else block
        planes = one(_SAMPLES, 1) if one(_PLANAR, 1) == 2 else 1
        count = -(-shape[0] // block[0]) * -(-shape[1] // block[1]) * planes
        if not 0 < count <= _BLOCKS_MAX:
            raise BadStructure(f"{self._name}: it has {count} blocks; at most {_BLOCKS_MAX} are read")
        offsets = self._numbers(entries, _TILE_OFFSETS if is_tiled else _STRIP_OFFSETS, count)
        counts = self._numbers(entries, _TILE_COUNTS if is_tiled else _STRIP_COUNTS, count)
        kind = one(_SUBFILE, 0)
        return Directory(shape, block, planes, bool(kind & 1), bool(kind & 4), offsets, counts)

    def _numbers(self, entries: dict[int, _Entry], tag: int, count: int, default: int | None = None) -> tuple[int, ...]:
        entry = entries.get(tag)
        if entry is None and default is not None:
            return (default,)
        if entry is None or entry.count < count or entry.kind not in _INTEGER_TYPES:
            raise BadStructure(f"{self._name}: its tag {tag} is missing or does not hold {count} numbers")
        step = _TYPE_BYTES[entry.kind]
        content = self._pages.read(entry.place, count * step)
        return tuple(int.from_bytes(content[at : at + step], self._order) for at in range(0, len(content), step))

    def _number(self, place: int, length: int) -> int:
        return int.from_bytes(self._pages.read(place, length), self._order)
