"""Merging the candidates of tiles equals drawing from the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from landseries.grid import Part
from landseries_sampler.merge import StratumMerge

PIXELS = st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(1, 4)), min_size=1, max_size=80)


def _columns(pixels: list[tuple[int, int]], seed: int) -> dict[str, npt.NDArray[Any]]:
    part, classes = np.array(pixels, dtype=np.uint8).reshape(-1, 2).T
    priority = np.random.default_rng(seed).permutation(len(pixels)).astype(np.uint64)
    return {"part": part, "class": classes, "priority": priority}


@given(PIXELS, st.integers(1, 4), st.integers(1, 60), st.integers(1, 30), st.integers(0, 99))
def test_cutting_into_tiles_changes_nothing(
    pixels: list[tuple[int, int]], tiles: int, training: int, validation: int, seed: int
) -> None:
    whole = _columns(pixels, seed)
    totals = {Part.TRAINING: training, Part.VALIDATION: validation}
    together, cut = StratumMerge(totals), StratumMerge(totals)
    together.add(0, whole)
    for tile in range(tiles):
        cut.add(tile, {name: values[tile::tiles] for name, values in whole.items()})
    expected, found = together.taken(), cut.taken()
    for name in ("part", "class", "priority"):
        assert found[name].tolist() == expected[name].tolist()
    assert (found["tile"] + found["line"] * tiles).tolist() == expected["line"].tolist()
    for part, total in totals.items():
        assert (expected["part"] == int(part)).sum() == min(total, (whole["part"] == int(part)).sum())


def test_nothing_gives_an_empty_sample() -> None:
    merge = StratumMerge({Part.TRAINING: 10, Part.VALIDATION: 5})
    assert len(merge.taken()) == 0
    assert merge.available(Part.TRAINING) == {}
