"""Counts of a tile: small maps whose figures can be counted by hand, and sums that do not depend on the cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseries_assessor.counting import TileMaps, count_tile, merge_counts, number_of_changes

IDS = (1, 2, 5)
YEARS = (2018, 2019, 2020)


def _row(*values: int) -> np.ndarray:
    return np.array([values], dtype=np.uint8)


def _count(tile: TileMaps, mask: np.ndarray | None = None) -> dict:
    shape = next(iter(next(iter(tile.maps.values())).values())).shape
    return count_tile(tile, {"all": np.ones(shape, bool) if mask is None else mask}, IDS, YEARS)["scopes"]["all"]


def test_joint_counts_leave_out_pixels_without_a_class_in_either_year():
    maps = {2018: _row(1, 1, 2, 0, 5), 2019: _row(1, 2, 2, 1, 0), 2020: _row(1, 1, 2, 1, 5)}
    model = _count(TileMaps({"m": maps}, 2018))["models"]["m"]
    assert model["joint"]["2018-2019"] == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert model["mapped"]["2019"] == [1, 2, 2, 0]


def test_flicker_is_there_and_straight_back():
    maps = {2018: _row(1, 1, 2, 0), 2019: _row(2, 2, 2, 1), 2020: _row(1, 5, 1, 0)}
    model = _count(TileMaps({"m": maps}, 2018))["models"]["m"]
    assert model["flicker"] == {"2018-2019-2020": {"pixels": 3, "flickering": 1}}


def test_changes_are_counted_over_a_year_without_data():
    changes, known = number_of_changes([_row(1, 1, 0, 0), _row(0, 2, 0, 1), _row(2, 1, 0, 0)])
    assert changes.tolist() == [[1, 2, 0, 0]]
    assert known.tolist() == [[True, True, False, False]]


def test_a_change_has_the_right_classes_only_with_both():
    truth = {2018: _row(1, 1, 1, 1), 2019: _row(2, 2, 1, 1)}
    maps = {2018: _row(1, 5, 1, 1), 2019: _row(2, 2, 2, 1)}
    model = _count(TileMaps({"m": maps}, 2018, truth=truth))["models"]["m"]
    assert model["change"]["2018-2019"] == {"pixels": 4, "true": 2, "mapped": 3, "both": 2, "right_classes": 1}
    assert model["confusion"]["2019"] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_verdicts_are_counted_by_class_and_truth():
    maps = {2018: _row(1, 1, 1)}
    tile = TileMaps({"m": maps}, 2018, truth={2018: _row(1, 2, 2)}, reference=_row(1, 1, 5), verdicts=_row(1, 1, 3))
    counted = _count(tile)["reference"]
    assert counted["verdicts"] == [[0, 0, 0], [2, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert counted["confusion"][1] == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert counted["confusion"][3] == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_a_map_without_verdicts_keeps_nothing():
    counted = _count(TileMaps({"m": {2018: _row(1, 2)}}, 2018, reference=_row(1, 2)))["reference"]
    assert counted["verdicts"][0] == [1, 1, 0]
    assert "confusion" not in counted


def test_only_pixels_of_the_scope_count():
    maps = {2018: _row(1, 1, 1), 2019: _row(1, 2, 1)}
    scope = _count(TileMaps({"m": maps}, 2018), np.array([[True, False, True]]))
    assert scope["pixels"] == 2
    assert scope["models"]["m"]["joint"]["2018-2019"][0] == [2, 0, 0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 11))
def test_the_sum_over_parts_is_the_count_of_the_whole(seed: int, cut: int):
    generator = np.random.default_rng(seed)

    def draw() -> np.ndarray:
        return generator.choice(np.array([0, *IDS], dtype=np.uint8), size=(4, 12))

    maps = {"a": {year: draw() for year in YEARS}, "b": {year: draw() for year in YEARS}}
    truth, reference, verdicts = {year: draw() for year in YEARS}, draw(), generator.integers(0, 4, (4, 12))

    def count(columns: slice) -> dict:
        tile = TileMaps(
            {model: {year: m[:, columns] for year, m in by_year.items()} for model, by_year in maps.items()},
            2018,
            {year: m[:, columns] for year, m in truth.items()},
            reference[:, columns],
            verdicts[:, columns].astype(np.uint8),
        )
        return count_tile(tile, {"all": np.ones(tile.reference.shape, bool)}, IDS, YEARS)

    assert merge_counts(count(slice(0, cut)), count(slice(cut, 12))) == count(slice(0, 12))


def test_a_model_that_one_tile_lacks_is_taken_over():
    first = count_tile(TileMaps({"m": {2018: _row(1)}}, 2018), {"all": np.ones((1, 1), bool)}, IDS, YEARS)
    second = count_tile(
        TileMaps({"m": {2018: _row(1)}, "n": {2018: _row(2)}}, 2018), {"all": np.ones((1, 1), bool)}, IDS, YEARS
    )
    models = merge_counts(first, second)["scopes"]["all"]["models"]
    assert models["m"]["mapped"]["2018"] == [0, 2, 0, 0]
    assert models["n"]["mapped"]["2018"] == [0, 0, 1, 0]


def test_counts_of_different_classes_are_not_added():
    counts = [count_tile(TileMaps({}, 2018), {}, ids, YEARS) for ids in ((1, 2), (1, 3))]
    with pytest.raises(ValueError, match="classes"):
        merge_counts(*counts)
