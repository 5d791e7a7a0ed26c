"""Polygons on a pixel grid: repaired where they are invalid, cut to the grid, projected, and burnt by pixel centre."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import Transformer
from rasterio.features import rasterize

from landseries.grid import Raster

#: A straight edge of the map is a curve on the grid; between points this close it departs by centimetres at most.
_STEP_M: Final = 1000.0
_STEP_DEGREES: Final = 0.01
#: What is kept around the grid when polygons are cut, so that the cut itself lies outside.
_MARGIN: Final = 0.05
#: No projection has coordinates so large, in metres, feet or degrees.
_FARTHEST: Final = 1e10

Box = tuple[float, float, float, float]
Geometries = npt.NDArray[np.object_]


def repair(geometries: Geometries) -> tuple[Geometries, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Make invalid polygons valid; every ring keeps its area, and touching or overlapping parts are merged.

    Args:
        geometries: (features,) polygons or multipolygons; None where a feature has no geometry.

    Returns:
        The geometries; which of them were repaired; and which cannot be, because a coordinate is no number, or of no
        place on Earth (these are None).
    """
    invalid = ~shapely.is_missing(geometries) & ~shapely.is_valid(geometries)
    hopeless = np.zeros(len(geometries), dtype=bool)
    for index in np.flatnonzero(invalid):
        # Not "any beyond": no order holds of what is no number.
        hopeless[index] = not (np.abs(shapely.get_coordinates(geometries[index])) < _FARTHEST).all()
    repaired = invalid & ~hopeless
    result = geometries.copy()
    result[hopeless] = None
    for index in np.flatnonzero(repaired):
        valid = shapely.make_valid(geometries[index], method="structure", keep_collapsed=False)
        # GEOS may leave parts side by side that share an edge, which is no valid multipolygon.
        result[index] = valid if shapely.is_valid(valid) else shapely.union_all(shapely.get_parts(valid))
    return result, repaired, hopeless


def boxes_around(raster: Raster, from_grid: Transformer) -> list[Box]:
    """The grid's bounds in another projection, with a margin; two boxes where the antimeridian divides them.

    Args:
        raster: the grid.
        from_grid: from the grid's projection to the other one, x before y.

    Returns:
        (left, bottom, right, top) each; none where the other projection does not reach the grid.
    """
    left, bottom, right, top = raster.bounds
    across, up = _MARGIN * (right - left), _MARGIN * (top - bottom)
    return boxes_of((left - across, bottom - up, right + across, top + up), from_grid)


def boxes_of(bounds: Box, transformer: Transformer) -> list[Box]:
    """Bounds in another projection; two boxes where the antimeridian divides them, none where it does not reach."""
    left, bottom, right, top = transformer.transform_bounds(*bounds, densify_pts=21)
    if not np.isfinite([left, bottom, right, top]).all():
        return []
    if left > right:
        return [(left, bottom, 180.0, top), (-180.0, bottom, right, top)]
    return [(left, bottom, right, top)]


def burn(
    target: npt.NDArray[np.int32],
    raster: Raster,
    geometries: Geometries,
    codes: npt.NDArray[np.int32],
    box: Box,
    to_grid: Transformer,
) -> None:
    """Write codes into all pixels whose centre lies in a polygon; of polygons that overlap the last one is seen.

    Args:
        target: (rows, columns) int32, changed in place.
        raster: its grid.
        geometries: (features,) valid polygons, None where there is none.
        codes: (features,) what to write.
        box: left, bottom, right, top in the polygons' projection: only what lies in it is used.
        to_grid: from the polygons' projection to the grid's, x before y.
    """
    assert to_grid.source_crs is not None
    step = _STEP_DEGREES if to_grid.source_crs.is_geographic else _STEP_M
    cut = shapely.clip_by_rect(geometries, *box)
    there = ~shapely.is_missing(cut) & ~shapely.is_empty(cut) & (shapely.area(cut) > 0)
    dense = shapely.segmentize(cut[there], step)
    projected = shapely.transform(dense, to_grid.transform, interleaved=False)
    shapes: list[tuple[Any, int]] = [(shape, int(code)) for shape, code in zip(projected, codes[there], strict=True)]
    if shapes:
        rasterize(shapes, out=target, transform=raster.transform, all_touched=False)


def in_degrees(bounds: Box) -> str:
    """Bounds in longitude and latitude as a person reads them."""
    west, south, east, north = bounds
    return f"{west:.3f}..{east:.3f} E, {south:.3f}..{north:.3f} N"
