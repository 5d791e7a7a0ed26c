"""How far an acquisition lies from where a reference image has the same ground.

Both images are compared by the direction of their edges, not by their brightness: a field that is darker than its
neighbour in spring and brighter in summer keeps the edge between them. The measure is the squared cosine between the
gradients of the two images, gradients weaker than usual counting less (normalised gradient fields: Haber and
Modersitzki, "Intensity gradient based registration and fusion of multi-modal images", MICCAI 2006). It is summed over
the pixels that both images see, for every displacement of whole pixels, in windows; each window votes for the top of a
parabola through its best displacements, and the median of the votes is the shift. What the votes disagree on was not
measured: clouds that the mask missed, and ground without edges, give votes that point anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from landseries_fetcher.filters import all_in_square, fast_length, gaussian

#: Side of a window in pixels: large enough for some edges in most, small enough to lie between clouds.
WINDOW_PX: Final = 64
#: Distance of windows in pixels: they overlap by half, so that few fall between the clouds.
STEP_PX: Final = 32
#: Windows of an image at most, where not told otherwise, spread evenly; more say nothing new.
WINDOWS_MAX: Final = 144
#: Displacements that are tried, in pixels to each side; a top at the last of them is not trusted.
REACH_PX: Final = 4
#: Scale in pixels at which edges are looked for, and how far a pixel reaches into its neighbours' gradients.
_EDGE_SCALE_PX: Final = 1.0
_EDGE_REACH_PX: Final = 4
#: Share of a window's pixels that both images must see.
_COMMON_SHARE_MIN: Final = 0.25
#: Votes that agree lie this near to their median, in pixels; chance brings one of fifty there.
_NEAR_PX: Final = 0.5
_VOTES_MIN: Final = 8
_AGREEMENT_MIN: Final = 0.4
_ERROR_MAX_M: Final = 1.0
#: A median's standard error from the median absolute deviation of n normal values: 1.2533 x 1.4826 / sqrt(n), where
#: windows that overlap are taken for half as many.
_MEDIAN_ERROR: Final = 1.2533 * 1.4826 * math.sqrt(2)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Votes = npt.NDArray[np.float64]
_Directions = tuple[FloatArray, BoolArray]


@dataclass(frozen=True)
class Shift:
    """How far an image lies from where it should, in metres.

    Attributes:
        north_m: towards the north (up the rows); negative towards the south.
        east_m: towards the east (along the columns); negative towards the west.
    """

    north_m: float
    east_m: float

    @property
    def length_m(self) -> float:
        """Distance in metres."""
        return math.hypot(self.north_m, self.east_m)


@dataclass(frozen=True)
class ShiftMeasurement:
    """What the windows of an image say about its shift.

    Attributes:
        shift: the shift, or None where it cannot be measured.
        windows: windows that both images see well enough.
        agreement: share of the windows whose vote lies within half a pixel of the median, 0 to 1.
        error_m: standard error of the median of these votes in metres, along the worse axis; NaN without votes.
        reason: why the shift cannot be measured, empty where it can.
    """

    shift: Shift | None
    windows: int
    agreement: float
    error_m: float
    reason: str = ""


def measure_shift(
    image: npt.NDArray[np.int16],
    clear: BoolArray,
    reference: npt.NDArray[np.int16],
    reference_clear: BoolArray,
    pixel_m: float = 10.0,
) -> ShiftMeasurement:
    """Shift of an image against a reference; see `shift_votes` for the arguments and `agree` for the result."""
    return agree(shift_votes(image, clear, reference, reference_clear), pixel_m)


def shift_votes(
    image: npt.NDArray[np.int16],
    clear: BoolArray,
    reference: npt.NDArray[np.int16],
    reference_clear: BoolArray,
    windows_max: int = WINDOWS_MAX,
) -> Votes:
    """Displacement of an image against a reference on the same grid, window by window.

    Votes of several parts of an acquisition may be put together before they are counted.

    Args:
        image: (band, rows, columns) reflectance or digital numbers of 10 m bands, in any scale; B04 and B08 together
            are good at all seasons. The values of pixels that are not clear are never looked at.
        clear: (rows, columns) True where the image shows the ground.
        reference: as `image`, the same bands.
        reference_clear: as `clear`.
        windows_max: windows that are looked at, at most.

    Returns:
        (window, 2) float64: how far the image's content lies below and to the right of the reference's, in pixels;
        NaN where a window sees enough and finds no top among the displacements.

    Raises:
        ValueError: the shapes differ.
    """
    if image.ndim != 3 or image.shape != reference.shape:
        shapes = f"{image.shape} and {reference.shape}"
        raise ValueError(f"expected two arrays (band, rows, columns) of one shape, got {shapes}")
    if clear.shape != image.shape[1:] or reference_clear.shape != clear.shape:
        raise ValueError(f"expected masks {image.shape[1:]}, got {clear.shape} and {reference_clear.shape}")
    windows = list(_windows(clear, reference_clear, windows_max))
    first = [_Edges.of(image, clear, window) for window in windows]
    second = [_Edges.of(reference, reference_clear, window) for window in windows]
    usual = _usual_strength(first), _usual_strength(second)
    votes = [
        vote
        for one, other in zip(first, second, strict=True)
        if (surface := _agreement_surface(one.directions(usual[0]), other.directions(usual[1]))) is not None
        for vote in [_top(surface)]
    ]
    return np.array(votes, dtype=np.float64).reshape(-1, 2)


def agree(votes: Votes, pixel_m: float = 10.0) -> ShiftMeasurement:
    """The shift that windows agree on.

    Args:
        votes: (window, 2) as `shift_votes` returns them, in any order and number.
        pixel_m: size of a pixel in metres.

    Returns:
        The median vote in metres, if at least eight windows vote, four of ten of all windows lie within half a pixel
        of it, and its standard error is at most a metre.
    """
    windows = len(votes)
    found = votes[np.isfinite(votes).all(axis=1)]
    if len(found) < _VOTES_MIN:
        reason = f"{len(found)} windows of {WINDOW_PX} pixels are clear in both images and have edges"
        return ShiftMeasurement(None, windows, 0.0, math.nan, f"{reason}, {_VOTES_MIN} are needed")
    middle = np.median(found, axis=0)
    near = found
    for _ in range(3):
        near = found[np.hypot(*(found - middle).T) <= _NEAR_PX]
        if not len(near):
            break
        middle = np.median(near, axis=0)
    agreement = len(near) / windows
    deviation = float(np.median(np.abs(near - middle), axis=0).max()) if len(near) else math.nan
    error_m = _MEDIAN_ERROR * deviation * pixel_m / math.sqrt(max(len(near), 1))
    if len(near) < _VOTES_MIN or agreement < _AGREEMENT_MIN:
        reason = f"{len(near)} of {windows} windows agree within {_NEAR_PX * pixel_m:.0f} m"
        return ShiftMeasurement(None, windows, agreement, error_m, f"{reason}, {_AGREEMENT_MIN:.0%} must")
    if error_m > _ERROR_MAX_M:
        reason = f"the windows' median is uncertain by {error_m:.1f} m, at most {_ERROR_MAX_M} m is allowed"
        return ShiftMeasurement(None, windows, agreement, error_m, reason)
    shift = Shift(north_m=-float(middle[0]) * pixel_m, east_m=float(middle[1]) * pixel_m)
    return ShiftMeasurement(shift, windows, agreement, error_m)


@dataclass(frozen=True)
class _Edges:
    """Gradients in a window and the margin around it.

    Attributes:
        down, right: (band, rows, columns) derivatives.
        strength: (band,) median squared length of the gradients of trusted pixels; NaN where there is none.
        trusted: (rows, columns) pixels whose gradient no hidden pixel touches.
    """

    down: FloatArray
    right: FloatArray
    strength: FloatArray
    trusted: BoolArray

    @classmethod
    def of(cls, image: npt.NDArray[np.int16], clear: BoolArray, window: tuple[slice, slice]) -> _Edges:
        # Hidden pixels are set to the mean of the others, lest a large number drown the small ones beside it.
        seen = clear[window]
        layers = image[:, window[0], window[1]].astype(np.float64)
        down, right = np.empty_like(layers), np.empty_like(layers)
        for band, layer in enumerate(layers):
            filled = np.where(seen, layer, layer[seen].mean() if seen.any() else 0.0)
            down[band] = gaussian(filled, _EDGE_SCALE_PX, order=(1, 0))
            right[band] = gaussian(filled, _EDGE_SCALE_PX, order=(0, 1))
        trusted = all_in_square(seen, _EDGE_REACH_PX)
        squared = down[:, trusted] ** 2 + right[:, trusted] ** 2
        strength = np.median(squared, axis=1) if squared.size else np.full(len(layers), np.nan)
        return cls(down, right, strength, trusted)

    def directions(self, usual: FloatArray) -> _Directions:
        """Products of the components of the normalised gradients, (band, 3, rows, columns), and the trusted pixels.

        The squared cosine of two gradients is a sum of three products of such terms, hence a sum of correlations.
        """
        length = self.down**2 + self.right**2 + usual[:, None, None]
        terms = np.stack(
            [self.down**2 / length, math.sqrt(2) * self.down * self.right / length, self.right**2 / length], axis=1
        )
        return terms * self.trusted, self.trusted


def _windows(clear: BoolArray, reference_clear: BoolArray, windows_max: int) -> Iterator[tuple[slice, slice]]:
    """Windows that both images see well, with a margin for gradients, evenly spread where there are too many."""
    margin = _EDGE_REACH_PX
    step = STEP_PX
    rows, columns = (max(0, (size - 2 * margin - WINDOW_PX) // step + 1) for size in clear.shape)
    corners = [
        (margin + row * step, margin + column * step)
        for row in range(rows)
        for column in range(columns)
        if _common_share(clear, reference_clear, margin + row * step, margin + column * step) >= _COMMON_SHARE_MIN
    ]
    count = min(len(corners), windows_max)
    for number in range(count):
        row, column = corners[number * len(corners) // count]
        yield slice(row - margin, row + WINDOW_PX + margin), slice(column - margin, column + WINDOW_PX + margin)


def _common_share(clear: BoolArray, reference_clear: BoolArray, row: int, column: int) -> float:
    here = slice(row, row + WINDOW_PX), slice(column, column + WINDOW_PX)
    return int(np.count_nonzero(clear[here] & reference_clear[here])) / WINDOW_PX**2


def _usual_strength(windows: list[_Edges]) -> FloatArray:
    """Squared length of an ordinary gradient of an image, (band,); never 0, so that flat ground has no direction."""
    strengths = np.array([edges.strength for edges in windows if np.isfinite(edges.strength).all()])
    bands = len(windows[0].strength) if windows else 0
    usual = np.median(strengths, axis=0) if len(strengths) else np.zeros(bands)
    return np.maximum(usual, 1e-6)


def _agreement_surface(image: _Directions, reference: _Directions) -> FloatArray | None:
    """Mean squared cosine for each displacement, (2 reach + 1, 2 reach + 1), down and right ascending.

    None where too few pixels are trusted in both images at some displacement.
    """
    terms, trusted = image
    other_terms, other_trusted = reference
    shape = tuple(fast_length(size + REACH_PX) for size in trusted.shape)
    pixels = _correlation(trusted[None].astype(np.float64), other_trusted[None].astype(np.float64), shape)
    if pixels.min() < _COMMON_SHARE_MIN * WINDOW_PX**2:
        return None
    flat = (-1, *trusted.shape)
    return _correlation(terms.reshape(flat), other_terms.reshape(flat), shape) / pixels


def _correlation(image: FloatArray, reference: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Sum over layers and pixels p of image(p) reference(p - d), for displacements d of up to the reach."""
    axes = (-2, -1)
    spectrum = (np.fft.rfft2(image, shape, axes) * np.conj(np.fft.rfft2(reference, shape, axes))).sum(axis=0)
    # Scaled once and at the end, which rounds least.
    product: FloatArray = np.fft.irfft2(spectrum, shape, axes, norm="forward") * (1 / math.prod(shape))
    around = np.arange(-REACH_PX, REACH_PX + 1)
    return product[np.ix_(around % shape[0], around % shape[1])]


def _top(surface: FloatArray) -> tuple[float, float]:
    """Where the surface is highest, between the pixels; NaN where it rises to its rim or has no top."""
    row, column = divmod(int(np.argmax(surface)), surface.shape[1])
    if not (0 < row < 2 * REACH_PX and 0 < column < 2 * REACH_PX):
        return math.nan, math.nan
    near = surface[row - 1 : row + 2, column - 1 : column + 2]
    # Least squares fit of a quadratic to three by three values.
    slope = np.array([(near[2] - near[0]).sum(), (near[:, 2] - near[:, 0]).sum()]) / 6
    rows, columns = near.sum(axis=1), near.sum(axis=0)
    curved_down = (rows[0] - 2 * rows[1] + rows[2]) / 3
    curved_right = (columns[0] - 2 * columns[1] + columns[2]) / 3
    twist = (near[0, 0] - near[0, 2] - near[2, 0] + near[2, 2]) / 4
    determinant = curved_down * curved_right - twist**2
    if curved_down >= 0 or determinant <= 0:
        return math.nan, math.nan
    down = (twist * slope[1] - curved_right * slope[0]) / determinant
    right = (twist * slope[0] - curved_down * slope[1]) / determinant
    if max(abs(down), abs(right)) > 1:
        return math.nan, math.nan
    return row - REACH_PX + float(down), column - REACH_PX + float(right)
