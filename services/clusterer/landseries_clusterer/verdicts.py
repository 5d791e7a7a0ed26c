"""Second step: the verdict on every pixel of the map.

- `reliable`: in the dominant cluster of a part that was accepted, likelier under its own class than under any other by
  a margin, and no outlier of its class.
- `rejected`: another class is likelier for the pixel itself or for its part as a whole.
- `uncertain`: everything else that the map gives a class: too few clear views, too small a part, a class that no part
  describes, outside the dominant cluster, a narrow margin, an outlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from landseries_clusterer.distributions import QUANTILES, Distributions, Judgement, part_medians

#: Score of a pixel that has none.
NO_SCORE: Final = 255
_SCORE_EVEN: Final = 100


class Verdict(IntEnum):
    """Values of the verdict band."""

    NONE = 0
    RELIABLE = 1
    UNCERTAIN = 2
    REJECTED = 3


@dataclass(frozen=True)
class Verdicts:
    """The verdict on every pixel.

    Attributes:
        verdict: (pixel,) uint8 of `Verdict`.
        score: (pixel,) uint8: 0 for another class beyond doubt, 100 for even between the own and the likeliest other
            class, 200 for the own class beyond doubt; 255 for none. With `cluster-then-associate`, 200 times the
            share of the pixel's class in its cluster.
    """

    verdict: NDArray[np.uint8]
    score: NDArray[np.uint8]


def give_verdicts(
    classes: NDArray[np.uint8],
    parts: NDArray[np.int32],
    in_dominant: NDArray[np.bool_],
    judgement: Judgement,
    distributions: Distributions,
    keep_share: float,
) -> Verdicts:
    """Judge every pixel by its part and by itself.

    Args:
        classes: (pixel,) uint8 class ids of the map, 0 none.
        parts: (pixel,) int32 part numbers of usable pixels, 0 for all others.
        in_dominant: (pixel,) bool, pixels of dominant clusters.
        judgement: Likeness and distance of every pixel; those of pixels that are not usable do not matter.
        distributions: The classes' distributions.
        keep_share: Share of the accepted representatives of a class that are reliable by their likeness, and by their
            distance half as many are left out again.
    """
    known = (parts > 0) & np.isin(classes, distributions.classes)
    accepted = known & in_dominant & _accepted_parts(parts, in_dominant & known, judgement.likeness)[parts]
    least, furthest = _limits(distributions, keep_share)
    row = np.searchsorted(distributions.classes, classes).clip(0, max(0, len(distributions.classes) - 1))
    typical = accepted & (judgement.likeness > 0)
    if len(distributions.classes):
        typical &= (judgement.likeness >= least[row]) & (judgement.distance <= furthest[row])
    verdict = np.where(classes > 0, Verdict.UNCERTAIN, Verdict.NONE).astype(np.uint8)
    verdict[known & ((judgement.likeness < 0) | (in_dominant & ~accepted))] = Verdict.REJECTED
    verdict[typical] = Verdict.RELIABLE
    score = np.full(len(classes), NO_SCORE, np.uint8)
    score[known] = np.rint(_SCORE_EVEN * (1 + np.tanh(judgement.likeness[known].astype(np.float64))))
    return Verdicts(verdict, score)


def verdicts_of_association(
    classes: NDArray[np.uint8],
    clusters: NDArray[np.int32],
    believed: NDArray[np.bool_],
    cluster_class: NDArray[np.uint8],
) -> Verdicts:
    """The verdicts of `cluster-then-associate`: believed pixels are reliable, those of other clusters rejected.

    Args:
        classes: (pixel,) uint8 class ids of the map, 0 none.
        clusters: (pixel,) int32 cluster numbers from 1, 0 for pixels that are not usable.
        believed: (pixel,) bool.
        cluster_class: (cluster,) uint8 class of each cluster.
    """
    verdict = np.where(classes > 0, Verdict.UNCERTAIN, Verdict.NONE).astype(np.uint8)
    score = np.full(len(classes), NO_SCORE, np.uint8)
    inside = np.flatnonzero((clusters > 0) & (classes > 0))
    label = clusters[inside].astype(np.int64) - 1
    other = cluster_class[label] != classes[inside]
    verdict[inside[other]] = Verdict.REJECTED
    verdict[believed & (classes > 0)] = Verdict.RELIABLE
    overlap = np.bincount(label * 256 + classes[inside], minlength=256 * len(cluster_class))
    size = np.bincount(label, minlength=len(cluster_class))
    share = overlap[label * 256 + classes[inside]] / size[label]
    score[inside] = np.rint(2 * _SCORE_EVEN * share)
    return Verdicts(verdict, score)


def _accepted_parts(
    parts: NDArray[np.int32], judged: NDArray[np.bool_], likeness: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """(part number,) bool: parts whose dominant cluster is, by its median, likeliest under the part's own class."""
    accepted = np.zeros(int(parts.max(initial=0)) + 1, bool)
    inside = np.flatnonzero(judged)
    if len(inside):
        medians = part_medians(likeness[inside], parts[inside].astype(np.int64))
        accepted[: len(medians)] = medians > 0
    return accepted


def _limits(distributions: Distributions, keep_share: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Least likeness and greatest distance of a reliable pixel of each class."""
    steps = np.linspace(0, 1, QUANTILES)
    rows = range(len(distributions.classes))
    least = [np.interp(1 - keep_share, steps, distributions.likeness[row]) for row in rows]
    furthest = [np.interp((1 + keep_share) / 2, steps, distributions.distance[row]) for row in rows]
    return np.array(least, np.float32), np.array(furthest, np.float32)
