"""Cluster, then associate: the simpler way, which knows no polygons.

K-means over the whole tile; each cluster takes the class that most of its pixels bear on the map. Where a pixel's
class on the map is that of its cluster, it is taken for right.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from landseries_clusterer.kmeans import assign, kmeans
from landseries_clusterer.representatives import TileParts

#: Pixels that the clusters are learnt from; all others only join the nearest.
_LEARN_FROM: Final = 32_768


def associate(
    values: NDArray[np.float32],
    usable: NDArray[np.bool_],
    classes: NDArray[np.uint8],
    priority: NDArray[np.uint64],
    *,
    clusters: int,
    min_overlap: float,
) -> tuple[NDArray[np.int32], TileParts]:
    """Cluster a tile and give each cluster a class.

    Args:
        values: (value, pixel) float32 vectors.
        usable: (pixel,) bool, mapped pixels that may be used.
        classes: (pixel,) uint8 class ids of the map.
        priority: (pixel,) uint64; the pixels of smallest priority are learnt from.
        clusters: Clusters of the tile.
        min_overlap: Share of its class that a cluster must have for its pixels to be believed.

    Returns:
        (pixel,) int32 cluster number from 1, 0 for pixels that are not usable; and the clusters in the form of
        parts: `dominant` counts the believed pixels, nobody speaks for them.
    """
    inside = np.flatnonzero(usable)
    number = np.zeros(len(usable), np.int32)
    in_dominant = np.zeros(len(usable), bool)
    found = 0
    owner = size = believed = np.zeros(0, np.int64)
    mean = np.zeros((0, len(values)))
    if len(inside):
        scale = np.maximum(values[:, inside].std(axis=1, dtype=np.float64), 1e-6).astype(np.float32)
        scaled = values[:, inside] / scale[:, np.newaxis]
        learnt = np.sort(np.argsort(priority[inside], kind="stable")[:_LEARN_FROM])
        draws = np.random.default_rng(int(priority[inside].min())).random(clusters)
        centre = kmeans(scaled[:, learnt], clusters, draws).centre
        label = assign(scaled, centre)
        number[inside] = label + 1
        found, mean = len(centre), centre * scale
        overlap = np.bincount(label * 256 + classes[inside], minlength=found * 256).reshape(found, 256)
        owner, size = overlap.argmax(axis=1), overlap.sum(axis=1)
        good = overlap.max(axis=1) >= min_overlap * np.maximum(size, 1)
        in_dominant[inside] = good[label] & (owner[label] == classes[inside])
        believed = np.bincount(label, in_dominant[inside], minlength=found)
    return number, TileParts(
        classes=owner.astype(np.uint8),
        pixels=size.astype(np.int32),
        dominant=believed.astype(np.int32),
        priority=np.arange(found, dtype=np.uint64),
        mean=mean.astype(np.float32),
        in_dominant=in_dominant,
        speakers=np.empty(0, np.int64),
    )
