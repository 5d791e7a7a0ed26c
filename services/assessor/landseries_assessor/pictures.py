"""The report's pictures: layers over all granules on one canvas, read from overviews, embedded as data URIs."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from PIL import Image
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds
from rasterio.windows import Window, intersect
from rasterio.windows import from_bounds as window_from_bounds

from landseries.grid import Raster

Pixels = npt.NDArray[np.uint8]

#: Quality of lossy WebP: no visible blocks in fields and forests.
_QUALITY: Final = 84


def canvas_of(grids: Sequence[Raster], longer_side_px: int) -> Raster:
    """One north-up canvas over all grids, in the projection of the largest, with square pixels.

    Args:
        grids: pixel grids, not necessarily of one projection.
        longer_side_px: longer side of the canvas in pixels at most; the pixels are never finer than the grids'.
    """
    main = max(grids, key=lambda grid: (grid.width * grid.height, grid.crs))
    bounds = [
        grid.bounds if grid.crs == main.crs else transform_bounds(grid.crs, main.crs, *grid.bounds) for grid in grids
    ]
    left, bottom = min(b[0] for b in bounds), min(b[1] for b in bounds)
    right, top = max(b[2] for b in bounds), max(b[3] for b in bounds)
    pixel = max(main.pixel_width, max(right - left, top - bottom) / longer_side_px)
    width, height = (max(1, math.ceil(round(side / pixel, 6))) for side in (right - left, top - bottom))
    return Raster(main.crs, left, top, pixel, pixel, width, height)


class Canvas:
    """A picture that rasters are painted onto, one after the other."""

    def __init__(self, grid: Raster, bands: int, nodata: int) -> None:
        self.pixels: Pixels = np.full((bands, *grid.shape), nodata, dtype=np.uint8)
        self._grid = grid
        self._nodata = nodata

    @property
    def empty(self) -> bool:
        """Whether nothing has been painted yet."""
        return bool((self.pixels == self._nodata).all())

    def paint(self, path: Path | str, resampling: Resampling) -> None:
        """Paint a raster's first bands where it has data; only its part on the canvas is read, from overviews."""
        with rasterio.open(path) as source:
            read = self._decimated(source, resampling)
            crs = source.crs
        if read is None:
            return
        target = np.full(self.pixels.shape, -1, dtype=np.int16)
        reproject(
            read[0].astype(np.int16),
            target,
            src_transform=read[1],
            src_crs=crs,
            src_nodata=-1,
            dst_transform=self._grid.transform,
            dst_crs=self._grid.crs,
            dst_nodata=-1,
            resampling=Resampling.nearest,
        )
        seen = ((target >= 0) & (target != self._nodata)).any(axis=0)
        self.pixels[:, seen] = target[:, seen].astype(np.uint8)

    def _decimated(self, source: Any, resampling: Resampling) -> tuple[Pixels, Affine] | None:
        """The source's part on the canvas at about its pixel size, with its transform; None where there is none."""
        grid = self._grid
        bounds = transform_bounds(grid.crs, source.crs, *grid.bounds)
        wanted = window_from_bounds(*bounds, transform=source.transform)
        whole = Window(0, 0, source.width, source.height)
        if not intersect(wanted, whole):
            return None
        window = wanted.intersection(whole).round_offsets().round_lengths(op="ceil").intersection(whole)
        factor = max(wanted.width / grid.width, 1.0)
        rows, columns = max(1, round(window.height / factor)), max(1, round(window.width / factor))
        bands = list(range(1, len(self.pixels) + 1))
        values = source.read(bands, window=window, out_shape=(len(bands), rows, columns), resampling=resampling)
        wide, high = window.width / columns, window.height / rows
        a, b, c, d, e, f = tuple(source.transform)[:6]
        left = c + a * window.col_off + b * window.row_off
        top = f + d * window.col_off + e * window.row_off
        return values, Affine(a * wide, b * high, left, d * wide, e * high, top)


def palette_png(values: Pixels, colours: Mapping[int, tuple[int, int, int]]) -> str:
    """A data URI of categories, (rows, columns), as an exact paletted PNG; values without a colour are transparent."""
    image = Image.fromarray(values, mode="P")
    palette = np.zeros((256, 3), dtype=np.uint8)
    for value, rgb in colours.items():
        palette[value] = rgb
    image.putpalette(palette.tobytes())
    alpha = bytes(255 if value in colours else 0 for value in range(256))
    return _uri(image, "PNG", transparency=alpha, optimize=True)


def photo_webp(bands: Pixels) -> str:
    """A data URI of a true-colour picture, (3, rows, columns); transparent where all bands are 0."""
    alpha = np.where((bands == 0).all(axis=0), 0, 255).astype(np.uint8)
    return _uri(Image.fromarray(np.dstack([*bands, alpha]), mode="RGBA"), "WEBP", quality=_QUALITY, method=4)


def ramp_webp(values: Pixels, stops: Sequence[tuple[float, tuple[int, int, int]]], nodata: int) -> str:
    """A data URI of a quantity, (rows, columns), coloured by ascending (value, red-green-blue) stops."""
    places = [value for value, _ in stops]
    channels = [np.interp(values, places, [rgb[i] for _, rgb in stops]).astype(np.uint8) for i in range(3)]
    alpha = np.where(values == nodata, 0, 255).astype(np.uint8)
    return _uri(Image.fromarray(np.dstack([*channels, alpha]), mode="RGBA"), "WEBP", quality=_QUALITY, method=4)


def _uri(image: Image.Image, kind: str, **options: Any) -> str:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
