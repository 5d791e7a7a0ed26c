"""Labelling pixels with a forest, several times faster than walking one pixel after the other.

Walking a deep tree is a chain of dependent loads whose branches no processor can guess. Three things take the waiting
out:

- A node is one 8-byte word (threshold, feature, left child). The right child stands beside the left one, so a step is
  `child + (value > threshold)`: no branch. A leaf is a node that leads to itself.
- A block of pixels goes down one tree together, a step at a time. Its steps do not depend on each other, so the
  processor overlaps their loads. Pixels that have reached a leaf are dropped every few steps.
- A block's features are copied feature by feature to where they, and one tree, fit in the second-level cache.

Pixels are independent of each other and the trees' votes are summed in the order of the trees, in float64: the result
does not depend on blocks or threads, and labels and probabilities are scikit-learn's.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from landseries.compiled import called_with, compiled
from landseries_pseudolabeler.forest import Forest

_Model = tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.uint32], NDArray[np.float64], NDArray[np.uint8]]

#: Pixels that go down a tree together; with 240 features their values take 240 KiB.
_BLOCK: Final = 512
#: Blocks that a thread takes at most at a time, and portions that each thread gets at least, so that all stay busy.
_BLOCKS_A_PORTION: Final = 16
_PORTIONS_A_THREAD: Final = 4
#: Steps down a tree before the first look for pixels that have arrived, and between later ones.
_FIRST_STEPS: Final = 10
_STEPS: Final = 6


@dataclass(frozen=True)
class Labels:
    """What a forest says about pixels.

    Attributes:
        label: (pixels,) uint8, id of the most probable class (of equals the first in the forest's order).
        probability: (pixels,) float32, the probability of that class: the mean over the trees of its share in the leaf.
        probabilities: (classes, pixels) float32 in the order of the forest's classes, or None if not asked for.
    """

    label: NDArray[np.uint8]
    probability: NDArray[np.float32]
    probabilities: NDArray[np.float32] | None


def predict(
    forest: Forest, features: NDArray[np.int16], *, probabilities: bool = False, threads: int | None = None
) -> Labels:
    """Label pixels with a forest.

    Beside its output it needs 16 KiB a feature and thread, however many pixels there are.

    Args:
        forest: The forest.
        features: (features, pixels) int16 stored values, in the forest's order of features. Any strides: pixels that
            stand row by row are passed transposed.
        probabilities: Whether to give the probabilities of all classes.
        threads: Threads to use; default Numba's number (`numba.set_num_threads`). The result does not depend on it.

    Raises:
        ValueError: Features have another dtype or number than the forest's, or there is no thread to use.
    """
    if features.ndim != 2 or features.dtype != np.int16 or features.shape[0] != len(forest.features):
        raise ValueError(
            f"features are {features.dtype} {features.shape}; the forest reads int16 ({len(forest.features)}, pixels)"
        )
    threads = numba.get_num_threads() if threads is None else threads
    if threads < 1:
        raise ValueError(f"threads: {threads}; expected at least 1")
    pixels = features.shape[1]
    label = np.empty(pixels, np.uint8)
    probability = np.empty(pixels, np.float32)
    every = np.empty((len(forest.classes) if probabilities else 0, pixels), np.float32)
    model = _model(forest)
    blocks = -(-pixels // (_BLOCK * threads * _PORTIONS_A_THREAD))
    size = _BLOCK * max(1, min(blocks, _BLOCKS_A_PORTION))

    def portion(start: int) -> None:
        # A copy in one layout: every layout that reached the kernel would be compiled for itself.
        values = features[:, start : start + size].astype(np.int16, order="C")
        _label_pixels(*model, values, start, label, probability, every)

    starts = range(0, pixels, size)
    if threads == 1 or len(starts) < 2:
        for start in starts:
            portion(start)
    else:
        with ThreadPoolExecutor(threads, thread_name_prefix="forest") as pool:
            for _ in pool.map(portion, starts):
                pass
    return Labels(label, probability, every if probabilities else None)


@lru_cache(maxsize=1)
def _model(forest: Forest) -> _Model:
    """What the kernel reads of a forest; kept for the next pixels, since a tile is labelled in several calls."""
    return (_pack(forest), forest.first_node, _rows(forest), forest.shares, np.array(forest.classes, np.uint8))


def _pack(forest: Forest) -> NDArray[np.uint64]:
    """(nodes,) one word a node: left child (32 bits), feature (16), threshold (16).

    A leaf is its own left child, and no value exceeds its threshold.
    """
    leaf = forest.is_leaf
    words = np.empty((leaf.size, 4), "<u2")
    words[:, 0] = np.where(leaf, np.iinfo(np.int16).max, forest.threshold).astype(np.int16).view(np.uint16)
    words[:, 1] = np.where(leaf, 0, forest.feature)
    words[:, 2:] = np.where(leaf, np.arange(leaf.size), forest.child).astype("<u4").view("<u2").reshape(-1, 2)
    return words.view("<u8").reshape(-1).astype(np.uint64, copy=False)


def _rows(forest: Forest) -> NDArray[np.uint32]:
    """(nodes,) the row of shares of each leaf; 0 at inner nodes."""
    return np.where(forest.is_leaf, -1 - forest.child, 0).astype(np.uint32)


# Below, unsigned types are not decoration: they spare each access the test for a negative index.


@compiled
def _descend(
    words: NDArray[np.uint64],
    root: int,
    values: NDArray[np.int16],
    pixels: int,
    node: NDArray[np.uint32],
    pixel: NDArray[np.uint32],
    leaf: NDArray[np.uint32],
) -> None:
    """Bring the first `pixels` pixels of a block from a tree's root to their leaves; node and pixel are scratch."""
    for i in range(pixels):
        node[i] = root
        pixel[i] = i
    walking = pixels
    steps = _FIRST_STEPS
    while walking > 0:
        for _ in range(steps):
            for i in range(walking):
                word = words[node[i]]
                looked_at = np.uint32(word >> np.uint64(16)) & np.uint32(0xFFFF)
                value = values[pixel[i] + looked_at * np.uint32(_BLOCK)]
                node[i] = np.uint32(word >> np.uint64(32)) + np.uint32(value > np.int16(word))
        steps = _STEPS
        still_walking = 0
        for i in range(walking):
            leaf[pixel[i]] = node[i]
            here, whose = node[i], pixel[i]
            node[still_walking] = here
            pixel[still_walking] = whose
            still_walking += np.uint32(words[here] >> np.uint64(32)) != here
        walking = still_walking


@called_with(
    "(uint64[::1], int32[::1], uint32[::1], float64[:, ::1], uint8[::1], int16[:, ::1], int64, uint8[::1], "
    "float32[::1], float32[:, ::1])"
)
@compiled
def _label_pixels(
    words: NDArray[np.uint64],
    first_node: NDArray[np.int32],
    rows: NDArray[np.uint32],
    shares: NDArray[np.float64],
    classes: NDArray[np.uint8],
    features: NDArray[np.int16],
    start: int,
    label: NDArray[np.uint8],
    probability: NDArray[np.float32],
    every: NDArray[np.float32],
) -> None:
    """Label a portion of pixels block by block; its first pixel is the output's pixel `start`."""
    total = features.shape[1]
    trees = first_node.size - 1
    values = np.empty(features.shape[0] * _BLOCK, np.int16)
    votes = np.empty((_BLOCK, classes.size), np.float64)
    node = np.empty(_BLOCK, np.uint32)
    pixel = np.empty(_BLOCK, np.uint32)
    leaf = np.empty(_BLOCK, np.uint32)
    for first in range(0, total, _BLOCK):
        pixels = min(_BLOCK, total - first)
        for f in range(features.shape[0]):
            for i in range(pixels):
                values[f * _BLOCK + i] = features[f, first + i]
        votes[:] = 0
        for tree in range(trees):
            _descend(words, first_node[tree], values, pixels, node, pixel, leaf)
            for i in range(pixels):
                row = rows[leaf[i]]
                for c in range(classes.size):
                    votes[i, c] += shares[row, c]
        for i in range(pixels):
            best = 0
            for c in range(classes.size):
                votes[i, c] /= trees
                if votes[i, c] > votes[i, best]:
                    best = c
            label[start + first + i] = classes[best]
            probability[start + first + i] = votes[i, best]
        for c in range(every.shape[0]):
            for i in range(pixels):
                every[c, start + first + i] = votes[i, c]
