"""Strata of a tile and the candidates drawn from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landseries.grid import Part
from landseries_sampler.strata import agreeing_stratum, draw, first_of_groups, own_stratum

SHAPE = (12, 9)
CLASSES = arrays(np.uint8, SHAPE, elements=st.integers(0, 3))
PARTS = arrays(np.uint8, SHAPE, elements=st.integers(0, 3))
PRIORITIES = arrays(np.uint64, SHAPE, elements=st.integers(0, 2**64 - 1))


def test_agreeing_pixels_have_one_class_in_all_years() -> None:
    years = [np.array([[1, 1, 0, 2]], np.uint8), np.array([[1, 2, 0, 2]], np.uint8), np.array([[1, 1, 0, 0]], np.uint8)]
    assert agreeing_stratum(years).tolist() == [[1, 0, 0, 0]]
    assert years[0].tolist() == [[1, 1, 0, 2]], "the year's own stratum is left as it was"


def test_pixels_of_low_probability_and_without_label_are_out() -> None:
    labels = np.array([[3, 3, 0]], np.uint8)
    probabilities = np.array([[120, 119, 200]], np.uint8)
    assert own_stratum(labels, probabilities, 0.6).tolist() == [[3, 0, 0]]
    assert own_stratum(labels, probabilities, 0.0).tolist() == [[3, 3, 0]]


@given(CLASSES, PARTS, PRIORITIES, st.integers(1, 40))
def test_drawn_pixels_are_the_smallest_of_their_class_and_part(
    stratum: npt.NDArray[Any], parts: npt.NDArray[Any], priority: npt.NDArray[Any], most: int
) -> None:
    drawn = draw(stratum, parts, priority, most)
    places = set(zip(drawn.row.tolist(), drawn.column.tolist(), strict=True))
    assert len(places) == len(drawn), "a pixel is drawn once"
    assert set(np.unique(drawn.part).tolist()) <= {Part.TRAINING, Part.VALIDATION}
    for part in (Part.TRAINING, Part.VALIDATION):
        for class_id in (1, 2, 3):
            eligible = np.sort(priority[(stratum == class_id) & (parts == part)])
            taken = drawn.priority[(drawn.part == part) & (drawn.classes == class_id)]
            assert taken.tolist() == eligible[:most].tolist()
    assert (stratum[drawn.row, drawn.column] == drawn.classes).all()
    assert (parts[drawn.row, drawn.column] == drawn.part).all()
    assert (priority[drawn.row, drawn.column] == drawn.priority).all()


def test_equal_priorities_keep_the_order_in_which_they_came() -> None:
    group = np.array([2, 1, 2, 1, 2])
    priority = np.array([5, 9, 5, 9, 1], dtype=np.uint64)
    assert first_of_groups(group, priority, 2).tolist() == [1, 3, 4, 0]
