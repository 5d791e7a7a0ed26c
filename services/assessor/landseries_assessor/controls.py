"""Controls: maps that look better by agreement alone, or not at all, and that the gate must turn away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

ClassArray = npt.NDArray[np.uint8]


def pooled_map(maps: Mapping[int, ClassArray]) -> dict[int, ClassArray]:
    """One map for all years: at each pixel the most frequent class of all years, of equals the lowest id.

    Args:
        maps: year -> (rows, columns) uint8 class ids, 0 where there is none.
    """
    stack = np.stack(list(maps.values()))
    votes = np.stack([(stack == value).sum(axis=0) for value in range(1, int(stack.max()) + 1)])
    winner = np.where(votes.max(axis=0) > 0, votes.argmax(axis=0) + 1, 0).astype(np.uint8)
    return dict.fromkeys(maps, winner)


def random_flips(maps: Mapping[int, ClassArray], ids: Sequence[int], rate: float, seed: int) -> dict[int, ClassArray]:
    """Each year's map with a share of its pixels given a class at random, independently per year.

    Args:
        maps: year -> (rows, columns) uint8 class ids, 0 where there is none.
        ids: class ids to choose from.
        rate: share of the pixels that draw a new label.
        seed: seed of the draw.
    """
    generator = np.random.default_rng(seed)
    flipped = {}
    for year, classes in maps.items():
        drawn = generator.choice(np.asarray(ids, dtype=np.uint8), size=classes.shape)
        chosen = (generator.random(classes.shape) < rate) & (classes != 0)
        flipped[year] = np.where(chosen, drawn, classes)
    return flipped


def random_repairs(maps: Mapping[int, ClassArray], rate: float, seed: int) -> dict[int, ClassArray]:
    """Each year's map with a share of its changes undone at random: more agreement without any knowledge."""
    generator = np.random.default_rng(seed)
    repaired: dict[int, ClassArray] = {}
    before: ClassArray | None = None
    for year, classes in maps.items():
        undo = generator.random(classes.shape) < rate
        keep = classes if before is None else np.where(undo & (classes != 0) & (before != 0), before, classes)
        repaired[year] = keep.astype(np.uint8)
        before = repaired[year]
    return repaired
