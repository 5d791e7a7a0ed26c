"""A year's map filled by rows, and the number of changes over the years."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landseries.legend import Legend
from landseries_mapper.maps import YearMap, band_names, count_changes

LEGEND = Legend.model_validate(
    {
        "title": "three",
        "classes": [
            {"id": id_, "name": name, "colour": "#000000", "codes": [id_]}
            for id_, name in ((2, "Water"), (5, "Wood"), (9, "Rock"))
        ],
    }
)


@given(arrays(np.uint8, (4, 3, 5), elements=st.integers(0, 2)))
def test_changes_are_counted_between_years_with_data(maps: npt.NDArray[Any]) -> None:
    changes = count_changes(list(maps))
    for row in range(3):
        for column in range(5):
            seen = [int(value) for value in maps[:, row, column] if value]
            expected = sum(a != b for a, b in pairwise(seen)) if len(seen) > 1 else 255
            assert changes[row, column] == expected


def test_one_year_alone_says_nothing_of_changes() -> None:
    assert (count_changes([np.ones((2, 2), dtype=np.uint8)]) == 255).all()


def test_a_map_has_a_class_only_where_it_may() -> None:
    clear_views = np.array([[9, 2, 9, 9]], dtype=np.uint8)
    mapped = np.array([[True, False, True, True]])
    year_map = YearMap(LEGEND, clear_views, mapped)
    labels = np.array([[5, 5, 0, 2]], dtype=np.uint8)
    probabilities = np.array([[[0.2, 0.2, 0.0, 0.751]], [[0.8, 0.8, 0.0, 0.249]]], dtype=np.float32)
    year_map.fill(0, labels, probabilities, (2, 5))
    assert band_names(LEGEND) == ["class", "confidence", "clear_views", "p_Water", "p_Wood", "p_Rock"]
    assert year_map.bands[:, 0, :].T.tolist() == [
        [5, 160, 9, 40, 160, 0],
        [0, 255, 2, 255, 255, 255],
        [0, 255, 9, 255, 255, 255],
        [2, 150, 9, 150, 50, 0],
    ]


def test_rows_are_filled_where_they_belong_and_skipped_where_nothing_is_mapped() -> None:
    mapped = np.zeros((6, 2), dtype=bool)
    mapped[3:5] = True
    year_map = YearMap(LEGEND, np.full((6, 2), 7, dtype=np.uint8), mapped)
    assert [year_map.wants(first, first + 2) for first in (0, 2, 4)] == [False, True, True]
    year_map.fill(2, np.full((2, 2), 9, np.uint8), np.ones((1, 2, 2), np.float32), (9,))
    assert year_map.classes.tolist() == [[0, 0], [0, 0], [0, 0], [9, 9], [0, 0], [0, 0]]
