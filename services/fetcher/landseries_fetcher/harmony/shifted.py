"""Windows of a product's images with their shift undone: read with the margin that the correction reaches into."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from landseries.grid import Raster
from landseries_fetcher.harmony.correcting import correct_classes, correct_numbers, margin_px
from landseries_fetcher.harmony.shifts import Shift
from landseries_fetcher.reading import ProductImages, bounding


def read_numbers(
    images: ProductImages, image: str, pixel_m: int, raster: Raster, handle: int, shift: Shift | None
) -> npt.NDArray[np.uint16]:
    """Digital numbers of a band over a raster's extent, where they should lie.

    Args:
        images, image, pixel_m, raster, handle: see `ProductImages.read`.
        shift: how far the image lies from where it should; None to read it as it is.

    Returns:
        (rows, columns) digital numbers at the image's own pixel size, 0 for no-data.

    Raises:
        UnreadableProduct: see `ProductImages.read`.
    """
    if shift is None:
        return images.read(image, pixel_m, raster, handle)
    margin = margin_px(shift, pixel_m)
    wide = images.read(image, pixel_m, bounding([raster], margin * pixel_m), handle)
    return _inner(correct_numbers(wide, shift, pixel_m), margin)


def read_classes(
    images: ProductImages, image: str, pixel_m: int, raster: Raster, shift: Shift | None
) -> npt.NDArray[np.uint8]:
    """The scene classification over a raster's extent, where it should lie; see `read_numbers`."""
    if shift is None:
        return np.asarray(images.read(image, pixel_m, raster), dtype=np.uint8)
    margin = margin_px(shift, pixel_m)
    wide = np.asarray(images.read(image, pixel_m, bounding([raster], margin * pixel_m)), dtype=np.uint8)
    return _inner(correct_classes(wide, shift, pixel_m), margin)


def _inner(wide: npt.NDArray[Any], margin: int) -> npt.NDArray[Any]:
    return wide[margin : wide.shape[0] - margin, margin : wide.shape[1] - margin]
