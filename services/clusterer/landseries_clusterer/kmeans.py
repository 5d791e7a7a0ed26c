"""K-means of one set of pixels, the same to the bit on any number of threads.

Lloyd's iterations from seeds drawn as k-means++ draws them (Arthur and Vassilvitskii, SODA 2007), with the draws
handed in; distances and means are summed in a fixed order by one thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from landseries.compiled import called_with, compiled

_ITERATIONS_MAX: Final = 40
_BLOCK: Final = 256


@dataclass(frozen=True)
class Clusters:
    """Clusters, the largest first (of equals, the one drawn first).

    Attributes:
        label: (pixel,) int32, number of each pixel's cluster.
        centre: (cluster, value) float64.
        size: (cluster,) int64, none empty.
    """

    label: NDArray[np.int32]
    centre: NDArray[np.float64]
    size: NDArray[np.int64]


def kmeans(values: NDArray[np.float32], clusters: int, draws: NDArray[np.float64]) -> Clusters:
    """Cluster pixels.

    Args:
        values: (value, pixel) float32, scaled so that differences in all values count alike; at least one pixel.
        clusters: Clusters at most; there are fewer where pixels coincide.
        draws: (clusters,) numbers in 0..1 that choose the seeds.

    Raises:
        ValueError: There is no pixel, or there are too few draws.
    """
    if values.ndim != 2 or values.shape[1] == 0 or len(draws) < clusters:
        raise ValueError(f"values {values.shape} and {len(draws)} draws: expected pixels and {clusters} draws")
    pixels = np.ascontiguousarray(values, dtype=np.float32)
    centre = _seeds(pixels, clusters, np.asarray(draws, np.float64))
    label = np.zeros(pixels.shape[1], np.int32)
    _lloyd(pixels, centre, label, _ITERATIONS_MAX)
    size = np.bincount(label, minlength=len(centre))
    order = np.argsort(-size, kind="stable")
    order = order[size[order] > 0]
    number = np.zeros(len(centre), np.int32)
    number[order] = np.arange(len(order))
    return Clusters(number[label], centre[order].astype(np.float64), size[order].astype(np.int64))


def assign(values: NDArray[np.float32], centre: NDArray[np.float64]) -> NDArray[np.int32]:
    """(pixel,) int32: the nearest centre of each pixel, of equals the first; see `kmeans` and `Clusters`."""
    label = np.zeros(values.shape[1], np.int32)
    _lloyd(np.ascontiguousarray(values, dtype=np.float32), centre.astype(np.float32), label, 1)
    return label


@compiled
def _nearer(values: NDArray[np.float32], centre: NDArray[np.float32], best: NDArray[np.float32]) -> None:
    """Lower `best` to the squared distance from one centre where that is smaller."""
    length, pixels = values.shape
    sums = np.empty(_BLOCK, np.float32)
    for first in range(0, pixels, _BLOCK):
        count = min(_BLOCK, pixels - first)
        sums[:] = 0
        for f in range(length):
            for i in range(count):
                difference = values[f, first + i] - centre[f]
                sums[i] += difference * difference
        for i in range(count):
            best[first + i] = min(best[first + i], sums[i])


@called_with("(float32[:, ::1], int64, float64[::1])")
@compiled
def _seeds(values: NDArray[np.float32], clusters: int, draws: NDArray[np.float64]) -> NDArray[np.float32]:
    """(cluster, value) float32: a first pixel by chance, the next ones by their squared distance from those before."""
    length, pixels = values.shape
    centre = np.empty((clusters, length), np.float32)
    best = np.full(pixels, np.float32(np.inf), np.float32)
    chosen = min(pixels - 1, int(draws[0] * pixels))
    found = 0
    while True:
        for f in range(length):
            centre[found, f] = values[f, chosen]
        found += 1
        if found == clusters:
            return centre
        _nearer(values, centre[found - 1], best)
        total = 0.0
        for i in range(pixels):
            total += best[i]
        if total <= 0.0:
            return centre[:found]
        target = draws[found] * total
        reached = 0.0
        for i in range(pixels):
            if best[i] > 0:
                chosen = i
                reached += best[i]
                if reached > target:
                    break


@called_with("(float32[:, ::1], float32[:, ::1], int32[::1], int64)")
@compiled
def _lloyd(values: NDArray[np.float32], centre: NDArray[np.float32], label: NDArray[np.int32], iterations: int) -> None:
    """Move the centres, in place, until no pixel changes its cluster; an empty cluster keeps its centre."""
    length, pixels = values.shape
    clusters = len(centre)
    distance = np.empty((clusters, _BLOCK), np.float32)
    total = np.empty((clusters, length), np.float64)
    size = np.empty(clusters, np.int64)
    for iteration in range(iterations):
        total[:] = 0
        size[:] = 0
        moved = 0
        for first in range(0, pixels, _BLOCK):
            count = min(_BLOCK, pixels - first)
            distance[:] = 0
            for f in range(length):
                for k in range(clusters):
                    place = centre[k, f]
                    for i in range(count):
                        difference = values[f, first + i] - place
                        distance[k, i] += difference * difference
            for i in range(count):
                nearest = 0
                for k in range(1, clusters):
                    if distance[k, i] < distance[nearest, i]:
                        nearest = k
                moved += label[first + i] != nearest
                label[first + i] = nearest
                size[nearest] += 1
            for f in range(length):
                for i in range(count):
                    total[label[first + i], f] += values[f, first + i]
        if moved == 0 and iteration > 0:
            return
        for k in range(clusters):
            if size[k] > 0:
                for f in range(length):
                    centre[k, f] = total[k, f] / size[k]
