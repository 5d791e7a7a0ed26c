"""Virtual rasters: one file to open where a layer is spread over several granules, one per UTM zone where it must."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

from rasterio.crs import CRS

from landseries.grid import Raster
from landseries_assessor.sidecar import category_names

Categories = Mapping[int, tuple[str, tuple[int, int, int]]]


def by_projection(grids: Mapping[str, Raster]) -> dict[str, dict[str, Raster]]:
    """Files grouped by the name ending of their virtual raster: empty where all share a projection, else its code."""
    projections = list(dict.fromkeys(grid.crs for grid in grids.values()))
    endings = [""] if len(projections) == 1 else [f"_{crs.rpartition(':')[2]}" for crs in projections]
    return {
        ending: {name: grid for name, grid in grids.items() if grid.crs == crs}
        for ending, crs in zip(endings, projections, strict=True)
    }


def virtual_raster(
    name: str,
    files: Mapping[str, Raster],
    bands: Sequence[str],
    nodata: int | None,
    categories: Categories | None = None,
) -> bytes:
    """A VRT over rasters of one projection and pixel size.

    Args:
        name: its own name in the result folder; the rasters are named relative to it.
        files: name in the result folder -> grid.
        bands: band descriptions, the same in all files.
        nodata: value without data; None for none.
        categories: value -> name and colour of the first band.
    """
    grids = list(files.values())
    left, top = min(grid.left for grid in grids), max(grid.top for grid in grids)
    right, bottom = max(grid.bounds[2] for grid in grids), min(grid.bounds[1] for grid in grids)
    across, down = grids[0].pixel_width, grids[0].pixel_height
    root = ElementTree.Element(
        "VRTDataset", rasterXSize=str(round((right - left) / across)), rasterYSize=str(round((top - bottom) / down))
    )
    ElementTree.SubElement(root, "SRS").text = CRS.from_user_input(grids[0].crs).to_wkt()
    ElementTree.SubElement(root, "GeoTransform").text = ", ".join(map(repr, (left, across, 0.0, top, 0.0, -down)))
    for number, band_name in enumerate(bands, 1):
        band = ElementTree.SubElement(root, "VRTRasterBand", dataType="Byte", band=str(number))
        ElementTree.SubElement(band, "Description").text = band_name
        if nodata is not None:
            ElementTree.SubElement(band, "NoDataValue").text = str(nodata)
        if categories is not None and number == 1:
            _add_categories(band, categories)
        for file, grid in files.items():
            place = (round((grid.left - left) / across), round((top - grid.top) / down))
            _add_source(band, os.path.relpath(file, PurePosixPath(name).parent), number, grid, place, nodata)
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8")
    return content + b"\n"


def _add_categories(band: Any, categories: Categories) -> None:
    ElementTree.SubElement(band, "ColorInterp").text = "Palette"
    band.append(category_names(categories))
    table = ElementTree.SubElement(band, "ColorTable")
    for value in range(max(categories) + 1):
        red, green, blue = categories[value][1] if value in categories else (0, 0, 0)
        alpha = 255 if value in categories else 0
        ElementTree.SubElement(table, "Entry", c1=str(red), c2=str(green), c3=str(blue), c4=str(alpha))


def _add_source(band: Any, path: str, number: int, grid: Raster, place: tuple[int, int], nodata: int | None) -> None:
    # A source with no-data leaves what another granule has already drawn there.
    source = ElementTree.SubElement(band, "SimpleSource" if nodata is None else "ComplexSource")
    ElementTree.SubElement(source, "SourceFilename", relativeToVRT="1").text = path
    ElementTree.SubElement(source, "SourceBand").text = str(number)
    for tag, (across, down) in (("SrcRect", (0, 0)), ("DstRect", place)):
        attributes = {"xOff": across, "yOff": down, "xSize": grid.width, "ySize": grid.height}
        ElementTree.SubElement(source, tag, {key: str(value) for key, value in attributes.items()})
    if nodata is not None:
        ElementTree.SubElement(source, "NODATA").text = str(nodata)
