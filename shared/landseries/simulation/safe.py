"""Writes one Level-2A product the way the archive delivers it: a SAFE folder with JPEG 2000 bands and its metadata.

Names, folders and XML fields are those of ESA's compact SAFE format. What a reader of surface reflectance has no use
for (viewing angles, quality masks, 60 m bands, auxiliary data) is left out. The rasters are cropped to the scene, and
the tile geocoding says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import rasterio

from landseries.bands import BANDS, GROUND_SAMPLING_DISTANCE_M, SceneClass
from landseries.simulation.geometry import EPSG, PIXEL_M, Geometry, Window
from landseries.simulation.landscape import BoolArray
from landseries.simulation.metadata import ProductFacts, datastrip_xml, manifest_xml, product_xml, tile_xml
from landseries.simulation.orbits import Datatake, Processing
from landseries.simulation.sensor import Image

OFFSET: Final = 1_000
_COARSE_M: Final = 20
_BLOCK_PX: Final = 256
#: One resolution and bypassed arithmetic coding: still lossless, and three times as fast to write and read.
_JPEG2000: Final = {
    "driver": "JP2OpenJPEG",
    "QUALITY": "100",
    "REVERSIBLE": "YES",
    "RESOLUTIONS": "1",
    "CODEBLOCK_STYLE": "BYPASS",
    "BLOCKXSIZE": _BLOCK_PX,
    "BLOCKYSIZE": _BLOCK_PX,
}


@dataclass(frozen=True)
class Product:
    """What one product holds: a datatake's processing, one granule, and one half where the datatake came in halves."""

    datatake: Datatake
    processing: Processing
    window: Window
    strip: int

    @property
    def name(self) -> str:
        """Name of the product without `.SAFE`, such as S2A_MSIL2A_20180704T101031_N0208_R022_T32TPS_20180704T134513.

        The last field tells two halves apart: the second was made a few minutes later.
        """
        take = self.datatake
        baseline = self.processing.baseline.replace(".", "")
        return (
            f"{take.platform}_MSIL2A_{take.start:%Y%m%dT%H%M%S}_N{baseline}_R{take.relative_orbit:03d}"
            f"_T{self.window.granule}_{self.generated:%Y%m%dT%H%M%S}"
        )

    @property
    def generated(self) -> datetime:
        """When the product was made."""
        return self.processing.generated + timedelta(seconds=211 * self.strip)

    @property
    def datastrip_start(self) -> datetime:
        """Start of sensing of its datastrip."""
        return self.datatake.datastrips[self.strip]


def products_of(datatake: Datatake, geometry: Geometry) -> list[Product]:
    """All products of a datatake; a granule that the swath misses has none."""
    seen = datatake.swath.reaches(geometry)
    found = []
    for window in geometry.windows():
        for strip in range(len(datatake.datastrips)):
            part = _part(seen, datatake, strip, geometry)[:, _coarse(window)]
            if part.any():
                found += [Product(datatake, processing, window, strip) for processing in datatake.processings]
    return found


def write_product(folder: Path, product: Product, image: Image, geometry: Geometry) -> Path:
    """Write one product into `folder` and return its path.

    The bytes depend on the arguments alone. Where any processing of the datatake lacks the offset, reflectance below
    0.0001 is raised to it in all of them, so that each processing holds the same reflectance.

    Raises:
        OSError: The folder cannot be written.
    """
    path = folder / f"{product.name}.SAFE"
    seen = _part(image.seen, product.datatake, product.strip, geometry)[:, _coarse(product.window)]
    scene = np.where(seen, image.scene[:, _coarse(product.window)], np.uint8(SceneClass.NO_DATA))
    facts = _facts(product, scene, geometry)
    images = path / "GRANULE" / facts.granule_folder / "IMG_DATA"
    floor = 1 - OFFSET if all(processing.has_offset for processing in product.datatake.processings) else 1
    for name in BANDS:
        values = _digital_numbers(image.bands[name], product, seen, floor)
        _write_band(images, facts, name, values, geometry)
    _write_band(images, facts, "SCL", scene, geometry)
    _write_text(path / "MTD_MSIL2A.xml", product_xml(facts))
    _write_text(path / "GRANULE" / facts.granule_folder / "MTD_TL.xml", tile_xml(facts))
    _write_text(path / "DATASTRIP" / facts.datastrip_folder / "MTD_DS.xml", datastrip_xml(facts))
    _write_text(path / "manifest.safe", manifest_xml(facts))
    return path


def _digital_numbers(
    reflectance: npt.NDArray[np.int16], product: Product, seen: BoolArray, floor: int
) -> npt.NDArray[np.uint16]:
    repeat = reflectance.shape[0] // seen.shape[0]
    width = product.window
    columns = slice(width.first_column * repeat // 2, width.last_column * repeat // 2)
    values = np.maximum(reflectance[:, columns].astype(np.int32), floor)
    if product.processing.has_offset:
        values += OFFSET
    inside = seen.repeat(repeat, axis=0).repeat(repeat, axis=1)
    return np.where(inside, values, 0).astype(np.uint16)


def _write_band(
    images: Path, facts: ProductFacts, name: str, values: npt.NDArray[np.generic], geometry: Geometry
) -> None:
    pixel_m = GROUND_SAMPLING_DISTANCE_M.get(name, _COARSE_M)
    path = images / facts.image_file(name, pixel_m)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        width=values.shape[1],
        height=values.shape[0],
        count=1,
        dtype=values.dtype.name,
        crs=f"EPSG:{EPSG}",
        transform=geometry.transform(pixel_m, facts.first_column),
        **_JPEG2000,
    ) as target:
        target.write(values, 1)


def _facts(product: Product, scene: npt.NDArray[np.uint8], geometry: Geometry) -> ProductFacts:
    take = product.datatake
    counts = np.bincount(scene.ravel(), minlength=12) / scene.size
    seen = max(1e-9, 1 - float(counts[SceneClass.NO_DATA]))
    upper_left = geometry.transform(PIXEL_M, product.window.first_column)
    return ProductFacts(
        name=product.name,
        platform=take.platform,
        relative_orbit=take.relative_orbit,
        absolute_orbit=take.absolute_orbit,
        baseline=product.processing.baseline,
        datatake_start=take.start,
        datastrip_start=product.datastrip_start,
        generated=product.generated,
        refined=take.refined,
        granule=product.window.granule,
        first_column=product.window.first_column,
        columns=product.window.width_px,
        rows=geometry.size_px,
        upper_left_m=(int(upper_left.c), int(upper_left.f)),
        footprint=tuple(geometry.footprint(product.window)),
        offset=-OFFSET if product.processing.has_offset else None,
        scene_shares=tuple(float(count) if index == 0 else float(count) / seen for index, count in enumerate(counts)),
    )


def _part(seen: BoolArray, datatake: Datatake, strip: int, geometry: Geometry) -> BoolArray:
    """Where a datastrip has data: the northern half for the first of two, the southern for the second."""
    if len(datatake.datastrips) == 1:
        return seen
    north = datatake.swath.northern(geometry)
    return np.asarray(seen & (north if strip == 0 else ~north), dtype=bool)


def _coarse(window: Window) -> slice:
    """A window's columns at 20 m."""
    return slice(window.first_column // 2, window.last_column // 2)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
