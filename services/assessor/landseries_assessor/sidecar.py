"""Category names beside a GeoTIFF: the `.aux.xml` that GDAL and QGIS read, with names and an attribute table.

GeoTIFF itself has no place for category names; GDAL's persistent auxiliary metadata (PAM) has.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

#: Columns of the attribute table: name, GDAL's field type (0 integer, 2 text) and usage (GDALRATFieldUsage).
_COLUMNS: Final = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))


def write_categories(path: Path, categories: Mapping[int, tuple[str, tuple[int, int, int]]]) -> None:
    """Write the auxiliary file of a raster whose first band holds categories.

    Args:
        path: the raster's own path with `.aux.xml` added.
        categories: value -> name and red, green, blue.
    """
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    band.append(category_names(categories))
    table = ElementTree.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(_COLUMNS):
        field = ElementTree.SubElement(table, "FieldDefn", index=str(index))
        for tag, text in (("Name", name), ("Type", str(kind)), ("Usage", str(usage))):
            ElementTree.SubElement(field, tag).text = text
    for index, (value, (name, rgb)) in enumerate(sorted(categories.items())):
        row = ElementTree.SubElement(table, "Row", index=str(index))
        for cell in (str(value), name, *map(str, rgb)):
            ElementTree.SubElement(row, "F").text = cell
    ElementTree.indent(root)
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8") + b"\n")


def category_names(categories: Mapping[int, tuple[str, tuple[int, int, int]]]) -> ElementTree.Element:
    """Names by value from 0 to the highest, empty where a value has none: GDAL counts them by place."""
    names = ElementTree.Element("CategoryNames")
    for value in range(max(categories) + 1):
        ElementTree.SubElement(names, "Category").text = categories[value][0] if value in categories else ""
    return names
