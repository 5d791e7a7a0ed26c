"""What the tests of catalogues share: products, tiles over them, and all that a source shows of these."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from landseries.config import Period
from landseries.grid import Tile
from landseries.settings.catalogues import EarthSearchSource
from landseries.settings.fetcher import FetchSettings
from landseries_fetcher.sources.base import ImagerySource

from .tiny_archive import COLUMNS, LEFT_M, ROWS, TOP_M, TinyProduct

#: Image or kind of metadata -> asset, as Earth Search names them.
COLOURS = {
    **EarthSearchSource(kind="earth-search").assets,
    "product": "product_metadata",
    "granule": "granule_metadata",
    "datastrip": "datastrip_metadata",
}
IMAGES_ONLY = {key: name for key, name in COLOURS.items() if key not in ("product", "granule", "datastrip")}
C1 = "sentinel-2-c1-l2a"


PERIOD = Period(start=date(2018, 1, 1), end=date(2018, 12, 31))
OLD = TinyProduct()
NEW = TinyProduct(
    baseline="0500",
    offset=-1000,
    level=3_000,
    start="20180715T101021",
    discriminator="20230101T000000",
    refining="REFINED",
)
MASKING = FetchSettings()


def tiles(size: int = 32) -> list[Tile]:
    return [
        Tile(
            crs="EPSG:32632",
            left=LEFT_M + column * 10 * size,
            top=TOP_M - row * 10 * size,
            pixel_width=10.0,
            pixel_height=10.0,
            width=size,
            height=size,
            id=f"r{row}c{column}",
            granule="32TQS",
            column=column,
            row=row,
        )
        for row in range(ROWS // size)
        for column in range(COLUMNS // size)
    ]


def everything(source: ImagerySource, wanted: Sequence[Tile]) -> list[tuple[str, str, Any]]:
    """All that a source shows of some tiles."""
    found: list[tuple[str, str, Any]] = []
    for acquisition in source.catalogue("32TQS", PERIOD, {}).acquisitions:
        for tile, view in source.views(acquisition, wanted, MASKING):
            found.append((acquisition.id, tile.id, (view.has_data.tobytes(), view.clear.tobytes())))
        for tile, image in source.images(acquisition, wanted, MASKING, 2):
            found.append((acquisition.id, tile.id, (image.features.tobytes(), image.clear.tobytes(), image.tags)))
    return found


def without_tags(found: list[tuple[str, str, Any]]) -> list[tuple[str, str, Any]]:
    return [(acquisition, tile, content[:2]) for acquisition, tile, content in found]
