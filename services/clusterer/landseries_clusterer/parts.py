"""Polygon parts: what lies of a polygon of the existing map within one cell of a fixed lattice.

A polygon may be as large as the scene, and then it holds many kinds of the same class; cut by a lattice that does not
depend on tiles, its parts stay alike inside, cost the same everywhere, and a large wrong polygon has no more say than
a small one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landseries.compiled import called_with, compiled
from landseries.grid import Raster


def polygon_parts(classes: NDArray[np.uint8], raster: Raster, cell_px: int) -> NDArray[np.int32]:
    """Number the polygon parts of a tile: pixels of one class and one cell that touch along their sides.

    Args:
        classes: (rows, columns) uint8 class ids, 0 none.
        raster: The tile's grid, which says where it lies on the lattice.
        cell_px: Side of a cell.

    Returns:
        (rows, columns) int32, 1, 2, ... in reading order of each part's first pixel, 0 where there is no class.
    """
    rows = _cells_along(raster.top, -raster.pixel_height, raster.height, cell_px)
    columns = _cells_along(raster.left, raster.pixel_width, raster.width, cell_px)
    return _components(np.ascontiguousarray(classes), rows, columns)


def _cells_along(origin: float, step: float, count: int, cell_px: int) -> NDArray[np.int64]:
    return (round(origin / step) + np.arange(count, dtype=np.int64)) // cell_px


@compiled
def _root(parent: NDArray[np.int32], pixel: int) -> int:
    while parent[pixel] != pixel:
        parent[pixel] = parent[parent[pixel]]
        pixel = parent[pixel]
    return pixel


@called_with("(uint8[:, ::1], int64[::1], int64[::1])")
@compiled
def _components(
    classes: NDArray[np.uint8], row_cells: NDArray[np.int64], column_cells: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Union-find over the upper and the left neighbour; a root is its part's first pixel in reading order."""
    height, width = classes.shape
    parent = np.arange(height * width).astype(np.int32)
    for row in range(height):
        for column in range(width):
            here = classes[row, column]
            if here == 0:
                continue
            pixel = row * width + column
            if row > 0 and classes[row - 1, column] == here and row_cells[row - 1] == row_cells[row]:
                a, b = _root(parent, pixel - width), _root(parent, pixel)
                parent[max(a, b)] = min(a, b)
            if column > 0 and classes[row, column - 1] == here and column_cells[column - 1] == column_cells[column]:
                a, b = _root(parent, pixel - 1), _root(parent, pixel)
                parent[max(a, b)] = min(a, b)
    parts = np.zeros((height, width), np.int32)
    number = 0
    for row in range(height):
        for column in range(width):
            if classes[row, column] != 0:
                root = _root(parent, row * width + column)
                if root == row * width + column:
                    number += 1
                    parts[row, column] = number
                else:
                    parts[row, column] = parts[root // width, root % width]
    return parts
