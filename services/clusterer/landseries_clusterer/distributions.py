"""Each class's distribution over all tiles, found among parts some of which bear a wrong class.

Every class is a mixture of several Gaussians over the representatives of its parts, so that a kind of the class that
few polygons show (alpine meadows among hay meadows) is a Gaussian of its own and not an outlier. Polygons of a wrong
class get Gaussians too, but of less weight in it than the same kind of land has in its true class, which therefore
wins. The mixtures are fitted in rounds: a part, or a representative, that is likelier under another class is left out
of the next round. The first rounds share one covariance among all Gaussians, so that none can stretch over what does
not belong to it; only then each gets a shape of its own, shrunk towards the shared one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from landseries_clusterer.gaussians import moments, squared_distances, whitening
from landseries_clusterer.kmeans import kmeans
from landseries_clusterer.representatives import Representatives

#: Share of the shared covariance in that of a class, round by round.
_SHARED: Final = (1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.5, 0.5, 0.5)
#: Gaussians per class, where there are representatives enough.
_MODES: Final = 6
#: Representatives per Gaussian at least, as a multiple of the length of the vectors.
_PER_MODE: Final = 2
_RIDGE: Final = 0.02
#: Standardised values are cut here: a single haze or snow value must not decide.
_CUT: Final = 6.0
#: Share of a class's parts that stay in the fit even where another class is likelier for more of them.
_STAY: Final = 0.3
QUANTILES: Final = 101
#: Pixels that are judged at a time: bounds memory, decides nothing.
_PORTION: Final = 65_536


@dataclass(frozen=True, eq=False)
class Distributions:
    """The distributions of all classes that have parts.

    Attributes:
        names: Name of each value of a pixel's vector.
        centre, scale: (value,) float32; vectors are standardised by them before anything else.
        classes: (class,) uint8 class ids, ascending.
        mode_class: (mode,) int32, row of `classes` that each Gaussian belongs to.
        log_weight: (mode,) float32, log of the Gaussian's share of its class less the log determinant of its factor.
        mean: (mode, value) float32, standardised.
        whitening: (mode, value, value) float32, lower triangles.
        likeness: (class, 101) float32, quantiles of `Judgement.likeness` among the representatives that were kept.
        distance: (class, 101) float32, the same of `Judgement.distance`.
    """

    names: tuple[str, ...]
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    classes: NDArray[np.uint8]
    mode_class: NDArray[np.int32]
    log_weight: NDArray[np.float32]
    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]
    likeness: NDArray[np.float32]
    distance: NDArray[np.float32]


@dataclass(frozen=True)
class Judgement:
    """How pixels compare with the class that the map gives them.

    Attributes:
        likeness: (pixel,) float32: half the difference of -2 log density between the likeliest other class and the own
            one, per value of the vector; above 0 where the own class is the likeliest.
        distance: (pixel,) float32: squared distance from the nearest Gaussian of the own class, per value of the
            vector; about 1 for a usual pixel.
    """

    likeness: NDArray[np.float32]
    distance: NDArray[np.float32]


def judge(distributions: Distributions, values: NDArray[np.float32], classes: NDArray[np.uint8]) -> Judgement:
    """Compare pixels with all classes.

    Args:
        distributions: The classes' distributions.
        values: (value, pixel) float32, not standardised.
        classes: (pixel,) uint8, the map's class of each pixel; a class without distribution gives likeness -inf.
    """
    pixels = values.shape[1]
    likeness, distance = np.empty(pixels, np.float32), np.empty(pixels, np.float32)
    for first in range(0, pixels, _PORTION):
        here = slice(first, first + _PORTION)
        standard = _standardised(values[:, here], distributions.centre, distributions.scale)
        judged = _judge(distributions, standard, classes[here])
        likeness[here], distance[here] = judged.likeness, judged.distance
    return Judgement(likeness, distance)


def fit(names: tuple[str, ...], found: Representatives) -> Distributions:
    """Fit all classes.

    Args:
        names: Name of each value of the vectors.
        found: Representatives of the parts of all tiles.

    Raises:
        ValueError: There are no representatives.
    """
    if len(found.classes) == 0:
        raise ValueError("no representatives: nothing to fit")
    standard = _standard(found)
    values = np.ascontiguousarray(_standardised(found.values.T, *standard))
    kept = np.ones(len(found.classes), bool)
    for shared in _SHARED:
        model = _fit_once(names, standard, values, found.classes, kept, shared)
        judged = _judge(model, values, found.classes)
        kept = _kept(judged.likeness, found)
    return _with_quantiles(model, judged, found.classes, kept)


def _standard(found: Representatives) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Median over all representatives, and the root of the mean of the classes' robust variances."""
    centre = np.median(found.values, axis=0)
    variance = np.zeros(found.values.shape[1])
    classes = np.unique(found.classes)
    for cover in classes:
        low, high = np.quantile(found.values[found.classes == cover], [0.25, 0.75], axis=0)
        variance += ((high - low) / 1.349) ** 2 / len(classes)
    scale = np.sqrt(variance)
    scale[scale <= 1e-6] = 1.0
    return centre.astype(np.float32), scale.astype(np.float32)


def _standardised(
    values: NDArray[np.float32], centre: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    standard = (values - centre[:, np.newaxis]) / scale[:, np.newaxis]
    return np.clip(standard, -_CUT, _CUT, out=standard)


@dataclass
class _Gaussians:
    """The Gaussians of a round: row of the class, share of the class, mean, covariance, and number of pixels."""

    owner: list[int] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    mean: list[NDArray[np.float64]] = field(default_factory=list)
    covariance: list[NDArray[np.float64]] = field(default_factory=list)
    size: list[int] = field(default_factory=list)

    def add(self, row: int, cover: int, pixels: NDArray[np.float32]) -> None:
        """Split the pixels (value, pixel) of a class into Gaussians, as many as they can bear."""
        wanted = max(1, min(_MODES, pixels.shape[1] // (_PER_MODE * len(pixels))))
        clusters = kmeans(pixels, wanted, np.random.default_rng(cover).random(wanted))
        for number, size in enumerate(clusters.size):
            mean, covariance = moments(np.ascontiguousarray(pixels[:, clusters.label == number].T))
            self.owner.append(row)
            self.weight.append(float(size) / pixels.shape[1])
            self.mean.append(mean)
            self.covariance.append(covariance)
            self.size.append(int(size))

    def shared_covariance(self) -> NDArray[np.float64]:
        """Mean over the classes of the mean covariance within their Gaussians."""
        total = sum(weight * covariance for weight, covariance in zip(self.weight, self.covariance, strict=True))
        return np.asarray(total / len(set(self.owner)))


def _fit_once(
    names: tuple[str, ...],
    standard: tuple[NDArray[np.float32], NDArray[np.float32]],
    values: NDArray[np.float32],
    labels: NDArray[np.uint8],
    kept: NDArray[np.bool_],
    shared: float,
) -> Distributions:
    """One round: Gaussians of the standardised representatives (value, pixel) that are kept."""
    classes = np.unique(labels)
    found = _Gaussians()
    for row, cover in enumerate(classes):
        found.add(row, int(cover), values[:, kept & (labels == cover)])
    length, common = len(values), found.shared_covariance()
    log_weight, factor = [], []
    for weight, covariance, size in zip(found.weight, found.covariance, found.size, strict=True):
        share = max(shared, length / (length + size))
        inverse, log_determinant = whitening((1 - share) * covariance + share * common + _RIDGE * np.eye(length))
        log_weight.append(np.log(weight) - log_determinant)
        factor.append(inverse)
    unknown = np.zeros((len(classes), QUANTILES), np.float32)
    return Distributions(
        names=names,
        centre=standard[0],
        scale=standard[1],
        classes=classes,
        mode_class=np.array(found.owner, np.int32),
        log_weight=np.array(log_weight, np.float32),
        mean=np.array(found.mean, np.float32),
        whitening=np.array(factor, np.float32),
        likeness=unknown,
        distance=unknown,
    )


def _judge(model: Distributions, standard: NDArray[np.float32], labels: NDArray[np.uint8]) -> Judgement:
    pixels, length = standard.shape[1], standard.shape[0]
    squared = squared_distances(standard, model.mean, model.whitening)
    own = np.full(pixels, np.inf, np.float32)
    other = np.full(pixels, np.inf, np.float32)
    distance = np.full(pixels, np.inf, np.float32)
    for mode, row in enumerate(model.mode_class):
        mine = labels == model.classes[row]
        cost = squared[mode] - 2 * model.log_weight[mode]
        own = np.where(mine, np.minimum(own, cost), own)
        other = np.where(mine, other, np.minimum(other, cost))
        distance = np.where(mine, np.minimum(distance, squared[mode]), distance)
    known = np.isin(labels, model.classes)
    limit = np.float32(1e3)
    likeness = np.full(pixels, -limit, np.float32)
    likeness[known] = np.clip((other[known] - own[known]) / np.float32(2 * length), -limit, limit)
    return Judgement(likeness, (distance / np.float32(length)).astype(np.float32))


def _kept(likeness: NDArray[np.float32], found: Representatives) -> NDArray[np.bool_]:
    """Representatives that their own class explains best, of parts whose median one does."""
    of_part = part_medians(likeness, found.part)
    good = of_part > 0
    part_class = np.zeros(len(of_part), np.uint8)
    part_class[found.part] = found.classes
    for cover in np.unique(found.classes):
        mine = np.flatnonzero(part_class == cover)
        best = mine[np.argsort(-of_part[mine], kind="stable")]
        good[best[: max(1, int(np.ceil(_STAY * len(mine))))]] = True
    kept = good[found.part]
    own = kept & (likeness > 0)
    for cover in np.unique(found.classes):
        mine = found.classes == cover
        if (own & mine).sum() >= 0.5 * (kept & mine).sum():
            kept &= own | ~mine
    return kept


def part_medians(values: NDArray[np.float32], part: NDArray[np.int64]) -> NDArray[np.float32]:
    """(parts,) float32 median of the values of each part 0..max, parts without any 0."""
    order = np.lexsort((values, part))
    count = np.bincount(part)
    start = np.cumsum(count) - count
    medians = np.zeros(len(count), np.float32)
    some = count > 0
    medians[some] = values[order[(start + (count - 1) // 2)[some]]]
    return medians


def _with_quantiles(
    model: Distributions, judged: Judgement, labels: NDArray[np.uint8], kept: NDArray[np.bool_]
) -> Distributions:
    steps = np.linspace(0, 1, QUANTILES)
    likeness = np.empty((len(model.classes), QUANTILES), np.float32)
    distance = np.empty_like(likeness)
    for row, cover in enumerate(model.classes):
        mine = kept & (labels == cover)
        likeness[row] = np.quantile(judged.likeness[mine], steps)
        distance[row] = np.quantile(judged.distance[mine], steps)
    return Distributions(**{**vars(model), "likeness": likeness, "distance": distance})
