"""The metadata of a Level-2A product: its name, MTD_MSIL2A.xml and MTD_TL.xml, and the offset that follows.

Reflectance is (DN + offset) / quantification value. The offset came with processing baseline 04.00, never with a
sensing date: archives reprocess old years with new baselines. Since then the product's metadata lists it; before, there
is no list and no offset (Sentinel-2 Products Specification Document 14, Level-2A).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring, iterparse

from landseries.bands import BANDS

#: Both spellings occur in archives.
PRODUCT_METADATA: Final = ("MTD_MSIL2A.xml", "MTD_MSIL2a.xml")
#: Bands in the order of `band_id` in the metadata.
BAND_IDS: Final = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
OFFSET_SINCE: Final = (4, 0)
OFFSET: Final = -1000
#: `Image_Refining` as metadata and images' tags say it, and whether the geometry was refined.
REFINING: Final = {"REFINED": True, "NOT_REFINED": False}
#: The baseline of products that are not ESA's: nothing says how their numbers were made.
FOREIGN_BASELINE: Final = (99, 99)

_NAME = re.compile(
    r"(?P<platform>S2[A-Z])_MSIL2A_(?P<datatake>\d{8}T\d{6})_N(?P<baseline>\d{4})_R(?P<orbit>\d{3})"
    r"_T(?P<granule>\d{2}[A-Z]{3})_(?P<discriminator>\d{8}T\d{6})",
    re.ASCII,
)
_DATASTRIP = re.compile(r"_S(\d{8}T\d{6})(?:_|$)")
_QUANTIFICATION_MAX: Final = 1e9
#: No image of a product has more rows or columns.
_SIDE_MAX: Final = 1 << 20
_BYTES_MAX: Final = 64 * 2**20


class BadMetadata(Exception):
    """Metadata that is missing, cannot be read, or says what landseries cannot use; the text is the reason."""


@dataclass(frozen=True)
class ProductName:
    """What the name of a product says; times are UTC."""

    id: str
    platform: str
    datatake_start: datetime
    baseline: tuple[int, int]
    relative_orbit: int
    granule: str
    discriminator: str

    @property
    def acquisition(self) -> str:
        """Id of the acquisition that the product belongs to."""
        start = f"{self.datatake_start:%Y%m%dT%H%M%S}"
        return f"{self.platform}_{start}_R{self.relative_orbit:03d}_T{self.granule}"


@dataclass(frozen=True)
class Geocoding:
    """The grid of a granule's images: CRS, upper-left corner in metres, and (rows, columns) by pixel size in metres."""

    crs: str
    left_m: float
    top_m: float
    shapes: dict[int, tuple[int, int]]


@dataclass(frozen=True)
class ProductMetadata:
    """What the metadata of a product says.

    Attributes:
        datatake_start: as written, with fractions of a second.
        baseline: processing baseline, for example (5, 9).
        offsets: offset of each of the ten bands, in digital numbers.
        offset_origin: `metadata` where the list was there, else `baseline`: one from before there was an offset.
        quantification: what a reflectance of 1.0 is stored as, before the offset.
        datastrip_start: start of sensing of the datastrip, as in its id.
        nodata_percent: share of the granule without data; None where it is not told.
        geocoding: the grid.
        refined: whether the geometry was refined against the global reference image (`Image_Refining` of the
            datastrip); None where that is not told.
    """

    datatake_start: str
    baseline: tuple[int, int]
    offsets: dict[str, int]
    offset_origin: str
    quantification: float
    datastrip_start: str
    nodata_percent: float | None
    geocoding: Geocoding
    refined: bool | None = None

    @property
    def baseline_text(self) -> str:
        """The baseline as people write it, such as `05.09`."""
        return "{:02d}.{:02d}".format(*self.baseline)


def parse_name(name: str) -> ProductName | None:
    """Read a product's name, with or without `.SAFE`; None where it is no name of a Level-2A product."""
    found = _NAME.fullmatch(name.removesuffix(".SAFE"))
    if found is None:
        return None
    try:
        start = datetime.strptime(found["datatake"], "%Y%m%dT%H%M%S")
    except ValueError:
        return None
    return ProductName(
        id=found[0],
        platform=found["platform"],
        datatake_start=start,
        baseline=(int(found["baseline"][:2]), int(found["baseline"][2:])),
        relative_orbit=int(found["orbit"]),
        granule=found["granule"],
        discriminator=found["discriminator"],
    )


def read_metadata(folder: Path, name: ProductName) -> ProductMetadata:
    """Read the metadata of a product folder.

    Raises:
        BadMetadata: a file is missing or cannot be read, or the product is not one of ESA's.
    """
    product = parse_xml(_only(folder, [folder / spelling for spelling in PRODUCT_METADATA], PRODUCT_METADATA[0]))
    tile = parse_xml(_only(folder, sorted(folder.glob("GRANULE/*/MTD_TL.xml")), "GRANULE/*/MTD_TL.xml"))
    datastrips = sorted(folder.glob("DATASTRIP/*/MTD_DS.xml"))
    baseline = parse_baseline(product, name)
    offsets, origin = parse_offsets(product, baseline)
    return ProductMetadata(
        datatake_start=_text(product, "DATATAKE_SENSING_START") or f"{name.datatake_start:%Y-%m-%dT%H:%M:%S}",
        baseline=baseline,
        offsets=offsets,
        offset_origin=origin,
        quantification=parse_quantification(product),
        datastrip_start=_datastrip_start(product, tile),
        nodata_percent=parse_nodata_percent(product),
        geocoding=parse_geocoding(tile),
        refined=read_refining(datastrips[0]) if len(datastrips) == 1 else None,
    )


def read_refining(path: Path) -> bool | None:
    """Whether a datastrip was geometrically refined, from its MTD_DS.xml; None where that is not told.

    The datastrip's metadata holds the satellite's whole telemetry after what is looked for, so it is read no further.

    Raises:
        BadMetadata: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            for _, element in iterparse(stream, events=("start",), forbid_dtd=True):
                if _local(element) == "Image_Refining":
                    return REFINING.get(element.get("flag", ""))
    except OSError as error:
        raise BadMetadata(f"MTD_DS.xml cannot be read: {error.strerror or error}") from error
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise BadMetadata(f"MTD_DS.xml is no valid XML: {error or type(error).__name__}") from error
    return None


def parse_xml(path: Path) -> Element:
    """Parse an XML file without entities, external references or unbounded size.

    Raises:
        BadMetadata: it cannot be read.
    """
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise BadMetadata(f"{path.name} is larger than {_BYTES_MAX >> 20} MiB, which no metadata is")
        root: Element = fromstring(path.read_bytes(), forbid_dtd=True)
    except OSError as error:
        raise BadMetadata(f"{path.name} cannot be read: {error.strerror or error}") from error
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:  # the last of an unknown encoding
        raise BadMetadata(f"{path.name} is no valid XML: {error or type(error).__name__}") from error
    return root


def parse_baseline(product: Element, name: ProductName) -> tuple[int, int]:
    """Processing baseline of a product: from its metadata, else from its name.

    Raises:
        BadMetadata: the baseline is 99.99, or no baseline.
    """
    text = _text(product, "PROCESSING_BASELINE")
    found = re.fullmatch(r"(\d{2})\.(\d{2})", text) if text is not None else None
    if text is not None and found is None:
        raise BadMetadata(f"PROCESSING_BASELINE is {text[:20]!r}; a baseline looks like 05.09")
    baseline = (int(found[1]), int(found[2])) if found is not None else name.baseline
    if FOREIGN_BASELINE in (baseline, name.baseline):
        raise BadMetadata("its processing baseline is 99.99: not ESA's, and nothing says which offset it has")
    return baseline


def parse_offsets(product: Element, baseline: tuple[int, int]) -> tuple[dict[str, int], str]:
    """Offset of each of the ten bands, and where it was found: `metadata` or `baseline`.

    Raises:
        BadMetadata: the list of offsets is there, but incomplete or not of numbers; or it is not there although the
            baseline has offsets, so that one of the two is wrong.
    """
    listed = list(_elements(product, "BOA_ADD_OFFSET"))
    if not listed and baseline >= OFFSET_SINCE:
        raise BadMetadata(
            f"its processing baseline is {baseline[0]:02d}.{baseline[1]:02d}, and its metadata has no "
            "BOA_ADD_OFFSET_VALUES_LIST, which all have from 04.00 on: which offset it has cannot be told; "
            "download the product again"
        )
    if not listed:
        return dict.fromkeys(BANDS, 0), "baseline"
    offsets: dict[str, int] = {}
    for element in listed:
        try:
            band = BAND_IDS[int(element.attrib["band_id"])]
            value = float(element.text or "")
        except (KeyError, ValueError, IndexError) as error:
            raise BadMetadata("BOA_ADD_OFFSET_VALUES_LIST has an entry without a known band_id and number") from error
        if not abs(value) <= 30_000 or value != int(value):  # no order holds of what is no number
            raise BadMetadata(f"BOA_ADD_OFFSET of {band} is {value}, which is no offset in digital numbers")
        offsets[band] = int(value)
    missing = [band for band in BANDS if band not in offsets]
    if missing:
        raise BadMetadata(f"BOA_ADD_OFFSET_VALUES_LIST has no offset of {', '.join(missing)}")
    return {band: offsets[band] for band in BANDS}, "metadata"


def parse_quantification(product: Element) -> float:
    """What a reflectance of 1.0 is stored as.

    Raises:
        BadMetadata: it is not told, or not positive.
    """
    text = _text(product, "BOA_QUANTIFICATION_VALUE") or _text(product, "L2A_BOA_QUANTIFICATION_VALUE")
    value = _number(text)
    if value is None or not 0 < value <= _QUANTIFICATION_MAX:
        raise BadMetadata(f"BOA_QUANTIFICATION_VALUE is {text!r}; it must be a positive number, such as 10000")
    return value


def parse_nodata_percent(root: Element) -> float | None:
    """Share of the granule without data, in percent; None where it is not told."""
    return percent(_number(_text(root, "NODATA_PIXEL_PERCENTAGE")))


def parse_geocoding(tile: Element) -> Geocoding:
    """The grid of a granule's images.

    Raises:
        BadMetadata: it is not told, or is not the same corner at 10 m and 20 m.
    """
    try:
        crs = _text(tile, "HORIZONTAL_CS_CODE")
        corners = {
            (float(_need(position, "ULX")), float(_need(position, "ULY")))
            for position in _elements(tile, "Geoposition")
            if position.get("resolution") in ("10", "20")
        }
        shapes = {
            int(size.attrib["resolution"]): (int(_need(size, "NROWS")), int(_need(size, "NCOLS")))
            for size in _elements(tile, "Size")
        }
    except (KeyError, ValueError) as error:
        raise BadMetadata(f"MTD_TL.xml: Tile_Geocoding cannot be read: {error}") from error
    if crs is None or not re.fullmatch(r"EPSG:\d{4,5}", crs) or len(corners) != 1 or not {10, 20} <= shapes.keys():
        raise BadMetadata("MTD_TL.xml: Tile_Geocoding lacks the CRS, or one corner and the sizes at 10 m and 20 m")
    left, top = corners.pop()
    return checked(Geocoding(crs, left, top, shapes))


def checked(grid: Geocoding) -> Geocoding:
    """A grid, if an image can have it.

    Raises:
        BadMetadata: its corner is no place, or its images have no pixels, or more than any image has.
    """
    sizes = [size for shape in grid.shapes.values() for size in shape]
    if not (math.isfinite(grid.left_m) and math.isfinite(grid.top_m) and all(0 < size <= _SIDE_MAX for size in sizes)):
        raise BadMetadata(f"its images begin at {grid.left_m}, {grid.top_m} and have {sizes} rows and columns, it says")
    return grid


def percent(value: float | None) -> float | None:
    """A share in percent; None where it can be none."""
    return value if value is not None and 0 <= value <= 100 else None


def _only(folder: Path, paths: list[Path], wanted: str) -> Path:
    there = [path for path in paths if path.is_file()]
    if not there:
        raise BadMetadata(f"has no {wanted}")
    # A file system that ignores case shows one file under both spellings.
    if len({path.name.lower() for path in there}) > 1 or len({path.parent for path in there}) > 1:
        raise BadMetadata(f"has {len(there)} files {wanted}; a product of one granule has one")
    return there[0]


def _datastrip_start(product: Element, tile: Element) -> str:
    texts = [_text(tile, "DATASTRIP_ID"), *(granule.get("datastripIdentifier") for granule in _granules(product))]
    for text in texts:
        found = _DATASTRIP.search(text or "")
        if found is not None:
            return found[1]
    raise BadMetadata("the metadata names no DATASTRIP_ID with a start of sensing (_S...)")


def _granules(product: Element) -> Iterator[Element]:
    yield from _elements(product, "Granule")


def _elements(root: Element, name: str) -> Iterator[Element]:
    """Elements by local name: namespaces differ between versions of the schema."""
    return (element for element in root.iter() if _local(element) == name)


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _text(root: Element, name: str) -> str | None:
    element = next(_elements(root, name), None)
    return None if element is None or element.text is None else element.text.strip()


def _need(root: Element, name: str) -> str:
    text = _text(root, name)
    if text is None:
        raise ValueError(f"{name} is missing")
    return text


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
