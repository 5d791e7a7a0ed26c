"""First step: the dominant cluster of each polygon part, and the few pixels that speak for it in all that follows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from landseries_clusterer.kmeans import kmeans

_MIN_SPEAKERS: Final = 8
_MAX_SPEAKERS: Final = 64


@dataclass(frozen=True, eq=False)
class Representatives:
    """Pixels that speak for parts.

    Attributes:
        part: (pixel,) int64, number of the part, from 0.
        classes: (pixel,) uint8, its class.
        values: (pixel, value) float32, the pixel's vector.
    """

    part: NDArray[np.int64]
    classes: NDArray[np.uint8]
    values: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TileParts:
    """What a tile knows of its parts; row n is part n + 1 of the part raster.

    Attributes:
        classes: (part,) uint8 class ids.
        pixels: (part,) int32, all pixels of the part.
        dominant: (part,) int32, pixels in its dominant cluster; 0 where the part is too small to be judged.
        priority: (part,) uint64, the smallest priority of its pixels: which parts speak first where they are too many.
        mean: (part, value) float32, mean vector of the dominant cluster; 0 where there is none.
        in_dominant: (pixel,) bool, pixels of dominant clusters.
        speakers: (speaker,) int64, pixels that speak for their part, by part and then by priority.
    """

    classes: NDArray[np.uint8]
    pixels: NDArray[np.int32]
    dominant: NDArray[np.int32]
    priority: NDArray[np.uint64]
    mean: NDArray[np.float32]
    in_dominant: NDArray[np.bool_]
    speakers: NDArray[np.int64]


def dominant_clusters(
    values: NDArray[np.float32],
    usable: NDArray[np.bool_],
    parts: NDArray[np.int32],
    classes: NDArray[np.uint8],
    priority: NDArray[np.uint64],
    *,
    clusters: int,
    min_part_px: int,
    merge_distance: float,
) -> TileParts:
    """Find the dominant cluster of every part of a tile.

    K-means splits even a part that is alike throughout; so clusters whose centres lie within `merge_distance` of the
    largest one's belong to the dominant cluster too.

    Args:
        values: (value, pixel) float32 vectors.
        usable: (pixel,) bool; other pixels are in no cluster.
        parts: (pixel,) int32 part numbers from 1, 0 none.
        classes: (pixel,) uint8 class ids.
        priority: (pixel,) uint64; also chooses the seeds, so that they depend on the place alone.
        clusters: Clusters per part.
        min_part_px: Parts with fewer usable pixels have no dominant cluster.
        merge_distance: In mean standard deviations within parts, root mean square over the values.
    """
    count = int(parts.max(initial=0))
    order = np.argsort(parts, kind="stable")
    bounds = np.searchsorted(parts[order], np.arange(1, count + 2))
    members = [order[a:b] for a, b in itertools.pairwise(bounds)]
    scale = _spread_within(values, usable, parts, count)
    result = TileParts(
        classes=np.array([classes[pixels[0]] for pixels in members], np.uint8),
        pixels=np.array([len(pixels) for pixels in members], np.int32),
        dominant=np.zeros(count, np.int32),
        priority=np.array([priority[pixels].min() for pixels in members], np.uint64),
        mean=np.zeros((count, len(values)), np.float32),
        in_dominant=np.zeros(len(parts), bool),
        speakers=np.empty(0, np.int64),
    )
    speakers = [np.empty(0, np.int64)]
    for number, pixels in enumerate(members):
        chosen = pixels[usable[pixels]]
        if len(chosen) < min_part_px:
            continue
        of_part = values[:, chosen] / scale[:, np.newaxis]
        dominant = chosen[_dominant(of_part, clusters, merge_distance, int(result.priority[number]))]
        result.in_dominant[dominant] = True
        result.dominant[number] = len(dominant)
        result.mean[number] = values[:, dominant].mean(axis=1, dtype=np.float64)
        wanted = int(np.clip(2 * np.sqrt(len(dominant)), _MIN_SPEAKERS, _MAX_SPEAKERS))
        speakers.append(dominant[np.argsort(priority[dominant], kind="stable")[:wanted]])
    object.__setattr__(result, "speakers", np.concatenate(speakers))
    return result


def _spread_within(
    values: NDArray[np.float32], usable: NDArray[np.bool_], parts: NDArray[np.int32], count: int
) -> NDArray[np.float32]:
    """(value,) float32: mean standard deviation within parts."""
    inside = np.flatnonzero(usable & (parts > 0))
    of_part = parts[inside]
    pixels = np.maximum(np.bincount(of_part, minlength=count + 1), 1)
    scale = np.ones(len(values), np.float32)
    for row, value in enumerate(values):
        here = value[inside].astype(np.float64)
        mean = np.bincount(of_part, here, minlength=count + 1) / pixels
        variance = float(np.mean((here - mean[of_part]) ** 2)) if len(here) else 0.0
        scale[row] = np.sqrt(variance) if variance > 1e-12 else 1.0
    return scale


def _dominant(values: NDArray[np.float32], clusters: int, merge_distance: float, seed: int) -> NDArray[np.bool_]:
    """(pixel,) bool: the largest cluster and those whose centres lie near its own."""
    found = kmeans(values, clusters, np.random.default_rng(seed).random(clusters))
    apart = np.sqrt(((found.centre - found.centre[0]) ** 2).mean(axis=1))
    near = apart <= merge_distance
    inside: NDArray[np.bool_] = near[found.label]
    return inside
