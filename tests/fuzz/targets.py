"""What is read from outside, and what must hold of it whatever the bytes: our own refusals, or a sound result."""

from __future__ import annotations

import io
import json
import math
import os
import random
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from landseries.bands import BANDS
from landseries_fetcher.remote.formats import ensure_windows
from landseries_fetcher.remote.reader import FileRanges, Identity, RemoteError
from landseries_fetcher.remote.sparse import SparseCopy
from landseries_fetcher.remote.windows import PixelWindow
from landseries_fetcher.sources.metadata import BadMetadata, ProductMetadata, ProductName, parse_name, read_metadata
from landseries_fetcher.sources.stac_items import (
    Item,
    asset_scaling,
    datastrip_start,
    geocoding,
    nodata_percent,
    read_item,
)
from landseries_fetcher.unzipping import BadArchive, UnzipLimits, unzip
from tests.fuzz.mutations import damaged, distorted
from tests.support.catalogues import C1, COLOURS
from tests.support.remote_images import noisy, write_image
from tests.support.stac_server import asset_of, item_of
from tests.support.tiny_archive import TinyProduct, write_product

_LIMITS: Final = UnzipLimits(entries=200, total_bytes=1 << 20, wanted_bytes=1 << 20)
_NAMES: Final = ("../x", "/etc/x", "a/../../x", "a\\..\\x", "C:x", "a//x", "a/./x", "x\0y", "x" * 2_000, "x", "X", "é")
_OFFSET_MAX: Final = 30_000

#: Makes a case from a seed, and reads a case in an empty folder: whether it was read (True) or refused.
Make = Callable[[random.Random], bytes]
Read = Callable[[bytes, Path], bool]


@dataclass(frozen=True)
class Target:
    """One reader of what comes from outside; `read` raises whatever is wrong with it."""

    name: str
    make: Make
    read: Read


def targets(folder: Path, data: Path | None) -> list[Target]:
    """All of them.

    Args:
        folder: for the honest files that are damaged.
        data: real metadata and images; without them artificial ones alone are damaged.
    """
    metadata, images = _metadata_seeds(folder, data), _image_seeds(folder, data)
    return [
        Target("zip archives", _zip_maker(), _read_zip),
        Target("metadata", _metadata_maker(metadata), _read_product),
        Target("JPEG 2000", _image_maker(images["jp2"]), _read_image),
        Target("GeoTIFF", _image_maker(images["tif"]), _read_image),
        Target("STAC items", _make_item, _read_item),
    ]


def _zip_maker() -> Make:
    contents = {"P.SAFE/MTD_MSIL2A.xml": b"<a/>" * 300, "P.SAFE/GRANULE/g/MTD_TL.xml": bytes(range(256)) * 8}

    def make(chance: random.Random) -> bytes:
        sink = io.BytesIO()
        warnings.simplefilter("ignore", UserWarning)  # names come twice on purpose
        with zipfile.ZipFile(sink, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
            for _ in range(chance.choice((0, 0, 1, 2))):
                entry = zipfile.ZipInfo(chance.choice(_NAMES))
                entry.create_system = 3
                entry.external_attr = chance.choice((0, stat.S_IFLNK | 0o777, stat.S_IFIFO, stat.S_IFREG | 0o644)) << 16
                archive.writestr(entry, chance.choice((b"/etc/passwd", bytes(3 << 20), b"")))
        whole = sink.getvalue()
        return damaged(whole, chance, [whole], len(whole)) if chance.random() < 0.8 else whole

    return make


def _read_zip(content: bytes, folder: Path) -> bool:
    archive, target = folder / "a.zip", folder / "deep" / "target"
    archive.write_bytes(content)
    target.mkdir(parents=True)
    try:
        unzip(archive, target, lambda _: True, _LIMITS)
        done = True
    except BadArchive:
        done = False
    beside = {path for path in folder.rglob("*") if target not in path.parents}
    assert beside == {archive, target.parent, target}, f"written beside the folder: {beside}"
    inside = list(target.rglob("*"))
    assert all(path.is_dir() or stat.S_ISREG(os.lstat(path).st_mode) for path in inside), "a link or special file"
    assert sum(path.stat().st_size for path in inside if path.is_file()) <= _LIMITS.total_bytes, "more than is allowed"
    return done


def _metadata_seeds(folder: Path, data: Path | None) -> list[tuple[bytes, bytes]]:
    """(MTD_MSIL2A.xml, MTD_TL.xml) of products."""
    found = []
    for number, offset in enumerate((None, -1000)):
        root = write_product(folder / str(number), TinyProduct(offset=offset))
        found.append(((root / "MTD_MSIL2A.xml").read_bytes(), next(root.rglob("MTD_TL.xml")).read_bytes()))
    for product in sorted(data.glob("safe_metadata/*/MTD_MSIL2[Aa].xml")) if data else []:
        tile = next(iter(sorted(product.parent.rglob("MTD_TL.xml"))), None)
        if tile is not None and product.stat().st_size + tile.stat().st_size < 1 << 20:
            found.append((product.read_bytes(), tile.read_bytes()))
    return found


def _metadata_maker(seeds: Sequence[tuple[bytes, bytes]]) -> Make:
    def make(chance: random.Random) -> bytes:
        pair = list(chance.choice(seeds))
        which = chance.randrange(2)
        if chance.random() < 0.85:
            pair[which] = distorted(pair[which], chance)
        else:
            pair[which] = damaged(pair[which], chance, [pair[1 - which]], len(pair[which]))
        return b"\0SPLIT\0".join(pair)

    return make


def _read_product(content: bytes, folder: Path) -> bool:
    product, _, tile = content.partition(b"\0SPLIT\0")
    granule = folder / "GRANULE" / "g"
    granule.mkdir(parents=True)
    (folder / "MTD_MSIL2A.xml").write_bytes(product)
    (granule / "MTD_TL.xml").write_bytes(tile)
    try:
        _check_metadata(read_metadata(folder, _name()))
    except BadMetadata as reason:
        refusal = str(reason)
    else:
        return True
    assert len(refusal) < 1_000, f"a refusal that nobody reads: {refusal[:300]}"
    return False


def _check_metadata(found: ProductMetadata) -> None:
    assert set(found.offsets) == set(BANDS)
    assert all(isinstance(offset, int) and abs(offset) <= _OFFSET_MAX for offset in found.offsets.values())
    assert math.isfinite(found.quantification)
    assert found.quantification > 0
    assert found.nodata_percent is None or 0 <= found.nodata_percent <= 100, found.nodata_percent
    grid = found.geocoding
    assert math.isfinite(grid.left_m)
    assert math.isfinite(grid.top_m)
    assert all(0 < size <= 1 << 20 for shape in grid.shapes.values() for size in shape), grid.shapes


def _name() -> ProductName:
    name = parse_name(TinyProduct().name)
    assert name is not None
    return name


def _image_seeds(folder: Path, data: Path | None) -> dict[str, list[bytes]]:
    values = noisy((150, 200))
    written = {
        "jp2": [
            write_image(folder / "plain.jp2", values, "JP2OpenJPEG", BLOCKXSIZE=64, BLOCKYSIZE=64),
            write_image(folder / "listed.jp2", values, "JP2OpenJPEG", BLOCKXSIZE=64, BLOCKYSIZE=64, TLM="YES"),
        ],
        "tif": [
            write_image(folder / "cog.tif", values, "COG", blocksize=128, compress="DEFLATE"),
            write_image(folder / "big.tif", values, "COG", blocksize=128, BIGTIFF="YES"),
        ],
    }
    if data is not None:
        real = (path for path in data.glob("s2_cog_29RKH/**/*.tif") if path.stat().st_size < 1 << 20)
        written["tif"] += sorted(real)[:3]
    return {kind: [path.read_bytes() for path in paths] for kind, paths in written.items()}


def _image_maker(seeds: Sequence[bytes]) -> Make:
    return lambda chance: damaged(chance.choice(seeds), chance, seeds, 1_500)


def _read_image(content: bytes, folder: Path) -> bool:
    image = folder / "image"
    image.write_bytes(content)
    readers: list[FileRanges] = []

    def open_reader(known: Identity | None) -> FileRanges:
        readers.append(FileRanges(image))
        return readers[-1]

    try:
        copy = SparseCopy(folder / "copy", "image", open_reader)
        ensure_windows(copy, [PixelWindow(20, 30, 70, 50), PixelWindow(0, 0, 10, 10)])
        done = True
    except RemoteError:
        done = False
    assert sum(reader.bytes_read for reader in readers) <= 2 * len(content) + 65_536, "read again and again"
    assert sum(reader.requests for reader in readers) <= 4_000, "asked again and again"
    return done


def _make_item(chance: random.Random) -> bytes:
    names = {image: name for image, name in COLOURS.items() if image not in ("product", "granule")}
    product = TinyProduct()
    assets = {name: asset_of(product, image, f"https://host/{image}.tif", -0.1) for image, name in names.items()}
    item: Any = item_of(product, C1, assets)
    for _ in range(chance.choice((1, 2, 5))):
        place = item
        while isinstance(place, dict | list) and place:
            key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if chance.random() < 0.4 or not isinstance(place[key], dict | list):
                place[key] = deepcopy(chance.choice(_VALUES))
                break
            place = place[key]
    return json.dumps(item).encode()


_VALUES: Final[tuple[Any, ...]] = (
    *(
        None,
        True,
        0,
        -1,
        1e308,
        -1e308,
        float("nan"),
        float("inf"),
        10**30,
        0.1,
        "",
        "x",
        "EPSG:99999",
        "\0",
        "file:///x",
    ),
    *([], {}, [[]], [None] * 6, {"href": 5}, [10**30, 10**30], [1e-320, 0, 0, 0, -1e-320, 0], "9" * 300, 327, "32632"),
)


def _read_item(content: bytes, folder: Path) -> bool:
    item = read_item(json.loads(content), False)
    if isinstance(item, str):
        return False
    assert isinstance(item, Item)
    assert item.checksum(tuple(COLOURS.values())).startswith("stac:")
    return all([_is_read(lambda part=part: part(item)) for part in _item_parts()])  # type: ignore[misc]


def _item_parts() -> Iterator[Callable[[Item], None]]:
    names = {image: name for image, name in COLOURS.items() if image not in ("product", "granule")}

    def grid(item: Item) -> None:
        found = geocoding(item, names)
        assert np.isfinite([found.left_m, found.top_m]).all()
        assert all(0 < size <= 1 << 20 for shape in found.shapes.values() for size in shape), found.shapes

    def scaling(item: Item) -> None:
        found = asset_scaling(item, names)
        if found is not None:
            assert math.isfinite(found[1])
            assert found[1] > 0
            assert all(abs(offset) <= _OFFSET_MAX for offset in found[0].values())

    def shares(item: Item) -> None:
        share = nodata_percent(item)
        assert share is None or 0 <= share <= 100, share

    def sizes(item: Item) -> None:
        for asset in item.assets.values():
            assert asset.size_bytes is None or 0 < asset.size_bytes <= 1 << 40, asset.size_bytes
            assert asset.driver in ("GTiff", "JP2OpenJPEG")

    def strip(item: Item) -> None:
        datastrip_start(item)

    yield from (grid, scaling, shares, sizes, strip)


def _is_read(part: Callable[[], None]) -> bool:
    try:
        part()
    except BadMetadata:
        return False
    return True
