"""QGIS styles: classes, numbers of changes, and confidence, ready to load onto the maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.etree import ElementTree

_DOCTYPE: Final = b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
#: Confidence in percent and its colour, from doubtful to certain.
CONFIDENCE_RAMP: Final = (
    (20, (94, 22, 79)),
    (40, (188, 55, 84)),
    (60, (237, 121, 83)),
    (80, (246, 199, 121)),
    (100, (252, 253, 221)),
)


def paletted(categories: Mapping[int, tuple[str, tuple[int, int, int]]]) -> bytes:
    """A QGIS style of a raster with categories: value -> name and red, green, blue."""
    root, renderer = _style("paletted")
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for value, (name, rgb) in sorted(categories.items()):
        ElementTree.SubElement(
            palette, "paletteEntry", value=str(value), color=hexadecimal(rgb), alpha="255", label=name
        )
    return _as_bytes(root)


def ramp(stops: Sequence[tuple[float, str, tuple[int, int, int]]]) -> bytes:
    """A QGIS style of a quantity: ascending (value, label, red-green-blue), interpolated between."""
    root, renderer = _style(
        "singlebandpseudocolor", classificationMin=str(stops[0][0]), classificationMax=str(stops[-1][0])
    )
    shader = ElementTree.SubElement(renderer, "rastershader")
    colours = ElementTree.SubElement(
        shader,
        "colorrampshader",
        colorRampType="INTERPOLATED",
        classificationMode="1",
        clip="0",
        minimumValue=str(stops[0][0]),
        maximumValue=str(stops[-1][0]),
    )
    for value, label, rgb in stops:
        ElementTree.SubElement(colours, "item", value=str(value), label=label, color=hexadecimal(rgb), alpha="255")
    return _as_bytes(root)


def confidence_style() -> bytes:
    """The style of confidence maps, whose values are 1/200."""
    return ramp([(percent * 2, f"{percent} %", rgb) for percent, rgb in CONFIDENCE_RAMP])


def hexadecimal(rgb: tuple[int, int, int]) -> str:
    """A colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _style(kind: str, **attributes: str) -> tuple[Any, Any]:
    root = ElementTree.Element("qgis", version="3.28.0", styleCategories="Symbology")
    pipe = ElementTree.SubElement(root, "pipe")
    fixed = {"type": kind, "band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    renderer = ElementTree.SubElement(pipe, "rasterrenderer", {**fixed, **attributes})
    ElementTree.SubElement(renderer, "rasterTransparency")
    ElementTree.SubElement(root, "blendMode").text = "0"
    return root, renderer


def _as_bytes(root: Any) -> bytes:
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8")
    return _DOCTYPE + content + b"\n"
