"""Random numbers with a purpose: each part of the simulation draws from a stream of its own.

A stream is found by name, not by the order of calls, so that another year, product or worker process leaves every
other number as it was.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

_TAPS: Final = 4


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator that depends on the seed and on what it is for, and on nothing else.

    Args:
        seed: The archive's seed, at least 0.
        purpose: Names and numbers that together tell this use from all others.

    Raises:
        ValueError: The seed is negative.
    """
    digests = (hashlib.sha256(f"{type(part).__name__}:{part}".encode()).digest() for part in purpose)
    key = tuple(int.from_bytes(digest[:4], "little") for digest in digests)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], scale_px: float) -> FloatArray:
    """A random surface with zero mean and unit variance whose features are about `scale_px` wide.

    White noise on a coarse lattice is spread by uniform cubic B-splines and divided by the root of the sum of their
    squared weights, which makes the variance one at every pixel.

    Returns:
        float32, shape (rows, columns).
    """
    spacing = max(1.0, scale_px)
    rows, row_weights = _spline_taps(shape[0], spacing)
    columns, column_weights = _spline_taps(shape[1], spacing)
    lattice = rng.standard_normal((int(rows.max()) + 1, int(columns.max()) + 1), dtype=np.float32)
    tall = np.zeros((shape[0], lattice.shape[1]), np.float32)
    for tap in range(_TAPS):
        tall += row_weights[tap][:, None] * lattice[rows[tap]]
    field = np.zeros(shape, np.float32)
    for tap in range(_TAPS):
        field += column_weights[tap][None, :] * tall[:, columns[tap]]
    return field


def fractal_field(
    rng: np.random.Generator, shape: tuple[int, int], scale_px: float, octaves: int = 4, roughness: float = 0.5
) -> FloatArray:
    """A random surface with features at several scales, each octave half as wide and `roughness` as strong.

    Returns:
        float32, shape (rows, columns), zero mean and unit variance.
    """
    field = np.zeros(shape, np.float32)
    for octave in range(octaves):
        field += np.float32(roughness**octave) * smooth_field(rng, shape, scale_px / 2**octave)
    power = sum(roughness ** (2 * octave) for octave in range(octaves))
    return field / np.float32(np.sqrt(power))


def rank(field: FloatArray) -> FloatArray:
    """The share of pixels below each pixel, 0 to 1; ties in reading order, so that shares of area come out exactly."""
    order = np.argsort(field, axis=None, kind="stable")
    ranks = np.empty(field.size, np.float32)
    ranks[order] = np.arange(field.size, dtype=np.float32) / np.float32(max(1, field.size - 1))
    return ranks.reshape(field.shape)


def _spline_taps(length: int, spacing: float) -> tuple[npt.NDArray[np.intp], FloatArray]:
    position = np.arange(length, dtype=np.float64) / spacing
    left = np.floor(position).astype(np.intp)
    t = position - left
    weights = np.stack(
        [(1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6]
    )
    weights /= np.sqrt((weights**2).sum(axis=0))
    return np.stack([left + tap for tap in range(_TAPS)]), weights.astype(np.float32)
