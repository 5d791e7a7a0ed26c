"""Where the tiles of a JPEG 2000 image lie in its file, so that a window's bytes can be fetched alone.

A codestream (ISO/IEC 15444-1, Annex A) is a main header and then tile-parts, each with a header of its own that tells
its length. Where the main header lists the lengths (TLM marker, A.7.1) the index costs one request; otherwise the
tile-parts' headers are walked once, and the index is kept beside the copy. A decoder that knows no TLM walks as well:
for it the headers of tile-parts that were not fetched are sketched into the copy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from landseries_fetcher.remote.byte_ranges import ByteRange, merged
from landseries_fetcher.remote.reader import HEAD_BYTES
from landseries_fetcher.remote.sparse import Filling, SparseCopy
from landseries_fetcher.remote.windows import BadStructure, Bytes, Pages, PixelWindow

_SIGNATURE: Final = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_SOC, _SIZ, _TLM, _SOT, _SOD, _EOC = 0xFF4F, 0xFF51, 0xFF55, 0xFF90, 0xFF93, 0xFFD9
_BOXES_MAX: Final = 1_000
_HEADERS_MAX_BYTES: Final = 16 * 2**20
_TILES_MAX: Final = 65_535
#: A product's image has 121 tiles at most; more tile-parts than these are not walked over the network.
_PARTS_MAX: Final = 20_000
_SOT_BYTES: Final = 12
#: What is read at once of a tile-part's header while walking.
_PART_PAGE_BYTES: Final = 512
_INDEX_VERSION: Final = 1
_INDEX: Final = "jp2-index"


@dataclass(frozen=True)
class TilePart:
    """A part of a tile's data: bytes from its SOT marker on; its header lasts until `data`."""

    tile: int
    start: int
    data: int
    stop: int


@dataclass(frozen=True)
class Jp2Index:
    """The layout of one file.

    Attributes:
        begin: offset of the codestream.
        header_stop: end of the main header.
        end: end of the codestream.
        size: end of the file.
        origin: of the image on the reference grid (x, y).
        shape: of the image (columns, rows).
        tile_origin: of the first tile on the reference grid (x, y).
        tile_shape: of a tile (columns, rows).
        parts: all tile-parts in the order of the file.
        is_listed: whether they come from the TLM marker; then `data` is only a lower bound.
    """

    begin: int
    header_stop: int
    end: int
    size: int
    origin: tuple[int, int]
    shape: tuple[int, int]
    tile_origin: tuple[int, int]
    tile_shape: tuple[int, int]
    parts: tuple[TilePart, ...]
    is_listed: bool

    def tiles(self, window: PixelWindow) -> set[int]:
        """Numbers of the tiles that a window touches."""
        found = []
        for axis, (first, length) in enumerate(((window.column, window.width), (window.row, window.height))):
            start, stop = max(first, 0), min(first + length, self.shape[axis])
            shift = self.origin[axis] - self.tile_origin[axis]
            step = self.tile_shape[axis]
            found.append(range((start + shift) // step, -(-(stop + shift) // step)) if start < stop else range(0))
        return {row * self._count(0) + column for row in found[1] for column in found[0]}

    @property
    def tile_count(self) -> int:
        """Number of tiles of the image."""
        return self._count(0) * self._count(1)

    def _count(self, axis: int) -> int:
        return -(-(self.origin[axis] + self.shape[axis] - self.tile_origin[axis]) // self.tile_shape[axis])

    def fixed_ranges(self) -> list[ByteRange]:
        """What a reader needs whatever the window: everything before the first tile-part and after the last."""
        return merged([(0, self.header_stop), (max(self.end - 2, self.header_stop), self.size)])

    def block_ranges(self, window: PixelWindow) -> list[ByteRange]:
        """The whole tile-parts of the tiles that a window touches."""
        tiles = self.tiles(window)
        return merged((part.start, part.stop) for part in self.parts if part.tile in tiles)

    def ranges(self, window: PixelWindow) -> list[ByteRange]:
        """What a reader needs for a window; with headers of other tile-parts as far as their length is known."""
        heads = [] if self.is_listed else [(part.start, part.data) for part in self.parts]
        return merged([*self.fixed_ranges(), *heads, *self.block_ranges(window)])

    def as_json(self) -> dict[str, Any]:
        """The index as a JSON object."""
        parts = [[part.tile, part.start, part.data, part.stop] for part in self.parts]
        return {**self.__dict__, "version": _INDEX_VERSION, "parts": parts}

    @classmethod
    def from_json(cls, content: Any) -> Jp2Index | None:
        """The inverse of `as_json`; None where the content is something else."""
        try:
            if content["version"] != _INDEX_VERSION:
                return None
            pairs = ("origin", "shape", "tile_origin", "tile_shape")
            fields = {name: value for name, value in content.items() if name != "version"}
            fields |= {name: (int(fields[name][0]), int(fields[name][1])) for name in pairs}
            return cls(**{**fields, "parts": tuple(TilePart(*part) for part in fields["parts"])})
        except (TypeError, KeyError, IndexError, ValueError):
            return None


def ensure_window(copy: SparseCopy, windows: Sequence[PixelWindow]) -> int:
    """Fetch what a JPEG 2000 decoder needs to read windows of a copy; how many bytes were fetched.

    Raises:
        BadStructure: it is no JPEG 2000 file, or its headers contradict themselves.
        RemoteError: see `RangeReader.read`.
    """
    with copy.filling() as filling:
        index = Jp2Index.from_json(copy.recall(_INDEX))
        if index is None or index.size != filling.size:
            layout = read_index(filling, walk=False)
            if len(_touched(layout, windows)) == layout.tile_count:  # nothing to choose, so no need to walk
                filling.ensure([(0, filling.size)])
                return filling.fetched_bytes
            index = _remembered(copy, layout if layout.is_listed else read_index(filling))
        _fetch(filling, index, windows)
        if index.is_listed and not _is_true(filling, index, windows):
            index = _remembered(copy, read_index(filling, believe_list=False))
            _fetch(filling, index, windows)
        return filling.fetched_bytes


def read_index(source: Bytes, *, believe_list: bool = True, walk: bool = True) -> Jp2Index:
    """Read a file's layout.

    Args:
        source: the file.
        believe_list: take the tile-parts from the TLM marker where there is one.
        walk: go from tile-part to tile-part where there is none; otherwise the index has no tile-parts then.

    Raises:
        BadStructure: it is no JPEG 2000 file, or its headers contradict themselves.
    """
    pages = Pages(source, HEAD_BYTES, _HEADERS_MAX_BYTES)
    begin, end = _codestream(pages, source)
    if pages.number(begin, 2) != _SOC or pages.number(begin + 2, 2) != _SIZ:
        raise BadStructure(f"{source.name}: its codestream does not begin as one of JPEG 2000")
    lists: dict[int, bytes] = {}
    place = begin + 2
    while (marker := pages.number(place, 2)) != _SOT:
        length = pages.number(place + 2, 2)
        if marker < 0xFF01 or length < 2 or place + 2 + length > end:
            raise BadStructure(f"{source.name}: its main header is damaged at byte {place}")
        if marker == _TLM and length > 4:
            lists[pages.number(place + 4, 1)] = pages.read(place + 5, length - 3)
        place += 2 + length
    sizes = _sizes(pages, begin + 4, source.name)
    index = Jp2Index(begin, place, end, source.size, *sizes, (), False)
    tiles = index.tile_count
    if tiles > _TILES_MAX:
        raise BadStructure(f"{source.name}: it has {tiles} tiles; JPEG 2000 allows {_TILES_MAX}")
    if believe_list and (parts := _listed(lists, place, end, tiles)):
        return replace(index, parts=parts, is_listed=True)
    if not walk:
        return index
    pages = Pages(source, _PART_PAGE_BYTES, _HEADERS_MAX_BYTES)
    return replace(index, parts=tuple(_walk(pages, place, end, tiles, source.name)))


def _fetch(filling: Filling, index: Jp2Index, windows: Sequence[PixelWindow]) -> None:
    filling.ensure(byte_range for window in windows for byte_range in index.ranges(window))
    if index.is_listed:
        for start, content in _sketches(index):
            filling.sketch(start, content)


def _touched(index: Jp2Index, windows: Sequence[PixelWindow]) -> set[int]:
    return set().union(*(index.tiles(window) for window in windows))


def _remembered(copy: SparseCopy, index: Jp2Index) -> Jp2Index:
    copy.remember(_INDEX, index.as_json())
    return index


def _codestream(pages: Pages, source: Bytes) -> tuple[int, int]:
    """Offsets of the codestream, found along the boxes of the file (ISO/IEC 15444-1, Annex I)."""
    if pages.number(0, 4) == (_SOC << 16 | _SIZ):
        return 0, source.size
    if pages.read(0, len(_SIGNATURE)) != _SIGNATURE:
        raise BadStructure(f"{source.name} is no JPEG 2000 file")
    start = 0
    for _ in range(_BOXES_MAX):
        length, kind, head = pages.number(start, 4), pages.read(start + 4, 4), 8
        if length == 1:
            length, head = pages.number(start + 8, 8), 16
        end = start + length if length else source.size
        if end < start + head or end > source.size:
            raise BadStructure(f"{source.name}: the box at byte {start} ends outside the file; it may be truncated")
        if kind == b"jp2c":
            if end - start < head + 2 or start > _HEADERS_MAX_BYTES or source.size - end > _HEADERS_MAX_BYTES:
                raise BadStructure(f"{source.name}: its boxes are longer than any image's")
            return start + head, end
        start = end
    raise BadStructure(f"{source.name} has more than {_BOXES_MAX} boxes")


_Pair = tuple[int, int]


def _sizes(pages: Pages, place: int, name: str) -> tuple[_Pair, _Pair, _Pair, _Pair]:
    """The SIZ marker (A.5.1): origin and shape of the image, origin and shape of the tiles."""
    numbers = [pages.number(place + 4 + 4 * index, 4) for index in range(8)]
    (right, bottom), origin, tile_shape, tile_origin = (
        (numbers[index], numbers[index + 1]) for index in range(0, 8, 2)
    )
    components = pages.number(place + 36, 2)
    steps = [pages.read(place + 39 + 3 * index, 2) for index in range(min(components, 4))]
    if any(step != b"\x01\x01" for step in steps):
        raise BadStructure(f"{name}: its components have fewer pixels than its grid, as no Sentinel-2 image has")
    shape = (right - origin[0], bottom - origin[1])
    is_first = all(
        tile_origin[axis] <= origin[axis] < tile_origin[axis] + tile_shape[axis] and tile_shape[axis] > 0
        for axis in (0, 1)
    )
    if min(shape) < 1 or not is_first:
        raise BadStructure(f"{name}: its size marker contradicts itself")
    return origin, shape, tile_origin, tile_shape


def _listed(lists: dict[int, bytes], place: int, end: int, tiles: int) -> tuple[TilePart, ...] | None:
    """The tile-parts as TLM markers list them; None where there are none, or they do not fit the file."""
    found: list[TilePart] = []
    for _, content in sorted(lists.items()):
        width = (content[0] >> 4) & 3
        length_bytes = 4 if content[0] & 0x40 else 2
        entry = width + length_bytes
        if width == 3 or (len(content) - 1) % entry:
            return None
        for at in range(1, len(content), entry):
            tile = int.from_bytes(content[at : at + width], "big") if width else len(found)
            length = int.from_bytes(content[at + width : at + entry], "big")
            if length < _SOT_BYTES + 2 or tile >= tiles or len(found) >= _PARTS_MAX:
                return None
            found.append(TilePart(tile, place, place + _SOT_BYTES + 2, place + length))
            place += length
    is_whole = place == end - 2 and {part.tile for part in found} == set(range(tiles))
    return tuple(found) if found and is_whole else None


def _walk(pages: Pages, place: int, end: int, tiles: int, name: str) -> Iterator[TilePart]:
    """The tile-parts, from header to header (A.4.2)."""
    for _ in range(_PARTS_MAX):
        if place + 2 > end or pages.number(place, 2) == _EOC:
            return
        if pages.number(place, 4) != _SOT << 16 | 10:
            raise BadStructure(f"{name}: there is no tile-part at byte {place}")
        tile, length = pages.number(place + 4, 2), pages.number(place + 6, 4)
        stop = place + length if length else end - 2  # a length of 0: until the end of the codestream
        if tile >= tiles or stop > end or stop < place + _SOT_BYTES + 2:
            raise BadStructure(f"{name}: the tile-part at byte {place} contradicts the file; it may be truncated")
        data = place + _SOT_BYTES
        while (marker := pages.number(data, 2)) != _SOD:
            data += 2 + pages.number(data + 2, 2)
            if marker < 0xFF01 or data + 2 > stop:
                raise BadStructure(f"{name}: the header of the tile-part at byte {place} is damaged")
        yield TilePart(tile, place, data + 2, stop)
        place = stop
    raise BadStructure(f"{name} has more than {_PARTS_MAX} tile-parts")


def _sketches(index: Jp2Index) -> Iterator[tuple[int, bytes]]:
    """Least headers for all tile-parts (SOT with all its fields, SOD): enough for a decoder to step over them."""
    counts = Counter(part.tile for part in index.parts)
    seen: Counter[int] = Counter()
    for part in index.parts:
        fields = part.tile.to_bytes(2, "big") + (part.stop - part.start).to_bytes(4, "big")
        numbers = bytes((seen[part.tile] & 0xFF, counts[part.tile] & 0xFF))
        yield part.start, b"\xff\x90\x00\x0a" + fields + numbers + b"\xff\x93"
        seen[part.tile] += 1


def _is_true(filling: Filling, index: Jp2Index, windows: Sequence[PixelWindow]) -> bool:
    """Whether the tile-parts that were fetched begin as the list says."""
    tiles = _touched(index, windows)
    for part in index.parts:
        if part.tile in tiles:
            head = filling.read(part.start, _SOT_BYTES)
            fields = part.tile.to_bytes(2, "big") + (part.stop - part.start).to_bytes(4, "big")
            if head[:4] != b"\xff\x90\x00\x0a" or head[4:10] != fields:
                return False
    return True
