"""What a STAC item says of a Level-2A product: its name, its assets, its grid, and what its numbers mean.

Catalogues spell the same things differently (extensions `proj`, `raster`, `file` and `alternate-assets` in several
versions), and some say them wrongly. What cannot be understood is None, or the reason why a product is left out.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from landseries.artifacts.documents import canonical_json
from landseries.bands import BANDS
from landseries_fetcher.images import Driver
from landseries_fetcher.remote.reader import SIZE_MAX_BYTES
from landseries_fetcher.sources.level2a import IMAGES
from landseries_fetcher.sources.metadata import BadMetadata, Geocoding, ProductName, checked, parse_name, percent

_NAMES: Final = ("s2:product_uri", "title", "sentinel:product_id")
_DATASTRIP: Final = re.compile(r"_S(\d{8}T\d{6})(?:_|$)", re.ASCII)
_EPSG: Final = re.compile(r"(?:EPSG:)?(\d{4,5})", re.ASCII)
#: A pixel size or a corner that is off by less is rounding.
_TOLERANCE_M: Final = 1e-3
#: No numbers are stored finer.
_SCALE_MIN: Final = 1e-9


@dataclass(frozen=True)
class Asset:
    """A file of a product, as an item names it.

    Attributes:
        href: where it lies, without a query: no signature is kept.
        media_type: empty where it is not told.
        checksum: changes when the file does; empty where it is not told.
        content: all that the item says of it.
    """

    href: str
    media_type: str
    checksum: str
    content: Mapping[str, Any]

    @property
    def driver(self) -> Driver:
        """GDAL's driver: JPEG 2000 or (cloud-optimised) GeoTIFF."""
        is_jp2 = "jp2" in self.media_type or self.href.lower().endswith((".jp2", ".j2k"))
        return "JP2OpenJPEG" if is_jp2 else "GTiff"

    @property
    def size_bytes(self) -> int | None:
        """Length of the file (STAC file extension); None where it is not told."""
        value = self.content.get("file:size")
        is_length = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= SIZE_MAX_BYTES
        return value if is_length else None

    @property
    def raster(self) -> Mapping[str, Any]:
        """What is said of its numbers: `scale` and `offset`, whichever version of the extension says it."""
        bands = self.content.get("raster:bands") or self.content.get("bands")
        first = bands[0] if isinstance(bands, list) and bands and isinstance(bands[0], dict) else {}
        found = {}
        for field in ("scale", "offset"):
            value = first.get(field, first.get(f"raster:{field}", self.content.get(f"raster:{field}")))
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                found[field] = float(value)
        return found


@dataclass(frozen=True)
class Item:
    """One product of a catalogue."""

    id: str
    name: ProductName
    properties: Mapping[str, Any]
    assets: Mapping[str, Asset]

    @property
    def updated(self) -> str:
        """When the catalogue last changed the item; empty where it is not told."""
        return str(self.properties.get("updated") or "")

    def asset(self, name: str) -> Asset:
        """An asset by its name.

        Raises:
            BadMetadata: there is none, or it is out of reach.
        """
        found = self.assets.get(name)
        if found is None:
            raise BadMetadata(f"the catalogue's item {self.id} has no asset {name} that can be reached")
        return found

    def checksum(self, names: tuple[str, ...]) -> str:
        """Changes when what is read of the product does: the named assets, and what the item says of their numbers."""
        used = {name: self.assets[name] for name in names if name in self.assets}
        facts = {name: [one.href, one.checksum, one.raster] for name, one in used.items()}
        updated = "" if all(one.checksum for one in used.values()) else self.updated
        content = [self.name.id, facts, updated, str(self.properties.get("s2:processing_baseline", ""))]
        return f"stac:{hashlib.sha256(canonical_json(content)).hexdigest()}"


def read_item(content: Any, has_bucket: bool) -> Item | str:
    """Read an item, or say why it cannot be.

    Args:
        content: as the server sent it.
        has_bucket: whether addresses that begin with s3:// can be read; they are preferred then.
    """
    if not isinstance(content, dict) or not isinstance(content.get("id"), str):
        return "it is no STAC item"
    properties, assets = content.get("properties"), content.get("assets")
    if not isinstance(properties, dict) or not isinstance(assets, dict):
        return "it has no properties or no assets"
    texts = [properties.get(field) for field in _NAMES] + [content["id"]]
    names = [parse_name(text) for text in texts if isinstance(text, str)]
    name = next((name for name in names if name is not None), None)
    if name is None:
        return "neither s2:product_uri, title nor id is the name of a Level-2A product"
    found = {key: _asset(one, has_bucket) for key, one in assets.items() if isinstance(one, dict)}
    return Item(content["id"], name, properties, {key: one for key, one in found.items() if one is not None})


def _asset(content: Mapping[str, Any], has_bucket: bool) -> Asset | None:
    others = content.get("alternate")
    places = [content, *(others.values() if isinstance(others, dict) else [])]
    hrefs = [str(place["href"]) for place in places if isinstance(place, dict) and isinstance(place.get("href"), str)]
    schemes = ("s3", "https", "http") if has_bucket else ("https", "http")
    fit = [href for scheme in schemes for href in hrefs if urlsplit(href).scheme == scheme and urlsplit(href).netloc]
    if not fit:
        return None
    checksum = content.get("file:checksum") or content.get("checksum:multihash") or ""
    kind = content.get("type")
    return Asset(fit[0].split("?")[0].split("#")[0], kind if isinstance(kind, str) else "", str(checksum), content)


def datastrip_start(item: Item) -> str:
    """Start of sensing of the datastrip.

    Raises:
        BadMetadata: the item does not tell it.
    """
    found = _DATASTRIP.search(str(item.properties.get("s2:datastrip_id", "")))
    if found is None:
        raise BadMetadata("neither its metadata nor its item (s2:datastrip_id) says when its datastrip begins")
    return found[1]


def nodata_percent(item: Item) -> float | None:
    """Share of the granule without data, in percent; None where it is not told."""
    value = item.properties.get("s2:nodata_pixel_percentage")
    return percent(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None


def asset_scaling(item: Item, names: Mapping[str, str]) -> tuple[dict[str, int], float] | None:
    """Offsets of the ten bands in digital numbers, and the quantification value, as the catalogue gives them.

    Args:
        item: the item.
        names: band -> asset.

    Returns:
        None where the catalogue does not give both for every band.

    Raises:
        BadMetadata: what it gives makes no sense.
    """
    offsets: dict[str, int] = {}
    scales: set[float] = set()
    for band in BANDS:
        raster = item.asset(names[band]).raster
        if len(raster) != 2:
            return None
        scale, offset = raster["scale"], raster["offset"]
        numbers = offset / scale if scale > 0 else math.nan
        makes_sense = scale >= _SCALE_MIN and abs(numbers) <= 30_000
        if not makes_sense or abs(numbers - round(numbers)) > 1e-6 * max(1.0, abs(numbers)):
            raise BadMetadata(f"the catalogue gives {band} the scale {scale:g} and the offset {offset:g}")
        offsets[band] = round(numbers)
        scales.add(scale)
    if len(scales) != 1:
        raise BadMetadata("the catalogue gives its bands different scales")
    return offsets, round(1.0 / scales.pop(), 6)


def geocoding(item: Item, names: Mapping[str, str]) -> Geocoding:
    """The grid of a product's images (STAC projection extension).

    Raises:
        BadMetadata: the catalogue does not tell it, or not the same corner at 10 m and 20 m.
    """
    corners: set[tuple[float, float]] = set()
    shapes: dict[int, tuple[int, int]] = {}
    codes: set[str] = set()
    for image, pixel_m in IMAGES:
        content = item.asset(names[image]).content
        found = _EPSG.fullmatch(str(_field(item, content, "proj:code", "proj:epsg")))
        transform, shape = _field(item, content, "proj:transform"), _field(item, content, "proj:shape")
        try:
            width, shear, left, other, height, top = (float(value) for value in transform[:6])
            rows, columns = (int(value) for value in shape)
        except (TypeError, ValueError) as error:
            raise BadMetadata(f"the catalogue gives no grid (proj:transform, proj:shape) of {image}") from error
        if max(abs(width - pixel_m), abs(height + pixel_m), abs(shear), abs(other)) > _TOLERANCE_M or found is None:
            raise BadMetadata(f"the catalogue gives {image} no CRS, or other pixels than {pixel_m} m")
        codes.add(f"EPSG:{found[1]}")
        corners.add((left, top))
        if shapes.setdefault(pixel_m, (rows, columns)) != (rows, columns):
            raise BadMetadata(f"the catalogue gives its images of {pixel_m} m different sizes")
    if len(corners) != 1 or len(codes) != 1:
        raise BadMetadata("the catalogue gives its images different corners or CRSs")
    left, top = corners.pop()
    return checked(Geocoding(codes.pop(), left, top, shapes))


def _field(item: Item, content: Mapping[str, Any], *names: str) -> Any:
    """The first of some fields that the asset has, or else the item."""
    for place in (content, item.properties):
        for name in names:
            if place.get(name) is not None:
                return place[name]
    return None
