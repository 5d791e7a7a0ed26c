"""Settings of the clusterer: how the reliable samples of the existing map are found."""

from __future__ import annotations

from typing import Literal

from landseries.settings.base import Settings, ours


class ClusterSettings(Settings):
    """First step: the dominant K-means cluster of each polygon part."""

    method: Literal["polygons", "cluster-then-associate"] = ours(
        "polygons", "`polygons`: K-means within each polygon part; the other: K-means over the tile"
    )
    clusters: int = ours(4, "Clusters per polygon part", ge=2, le=50)
    merge_distance: float = ours(
        1.6, "Clusters this near to the largest one, in standard deviations within parts, join it", ge=0
    )
    cell_px: int = ours(64, "Polygons are cut into parts by a lattice of cells with this side in pixels", ge=8, le=4096)
    min_part_px: int = ours(20, "Polygon parts with fewer pixels are `uncertain`", ge=2)
    min_clear_views: int = ours(5, "A pixel with fewer clear views in the training year is not used", ge=1)
    description_length: int = ours(
        48, "Values that describe a pixel, about: seasonal means of every index, 4 to 12 seasons", ge=4, le=400
    )
    tile_clusters: int = ours(40, "Clusters per tile, for `cluster-then-associate`", ge=2, le=1000)
    min_overlap: float = ours(
        0.5, "Share of its class that a tile's cluster must have, for `cluster-then-associate`", ge=0, le=1
    )


class ClassesSettings(Settings):
    """Second step: each class's distribution over all tiles."""

    max_parts_per_class: int = ours(2_000, "Polygon parts that describe a class at most", ge=10, le=100_000)


class ReliableSettings(Settings):
    """The verdict on every pixel of the map: reliable, uncertain or rejected."""

    keep_share: float = ours(
        0.95, "Share of a class's accepted pixels that are typical enough of it to be `reliable`", gt=0, le=1
    )
    samples_per_class: int = ours(2_000, "Reliable samples per class and tile at most", ge=10)


class ClustererSettings(Settings):
    """The three stages of the search for reliable samples."""

    cluster: ClusterSettings = ClusterSettings()
    classes: ClassesSettings = ClassesSettings()
    reliable: ReliableSettings = ReliableSettings()
