"""Figures from counts: against hand-made tables, and None where they are not defined."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseries_assessor.measures import accuracy, agreement, change, f_score, mean, reliability, share

NAMES = ("Water", "Snow")


def test_agreement_of_a_small_table():
    found = agreement([[6, 2], [1, 1]], NAMES)
    assert found["overall"] == 0.7
    assert found["overall_without_snow_and_shrubland"] == 1.0
    assert found["per_class"]["Water"] == {
        "iou": round(6 / 9, 6),
        "dice": 0.8,
        "kept": 0.75,
        "arrived": round(6 / 7, 6),
    }


def test_a_class_that_nobody_maps_has_no_figure():
    found = agreement([[5, 0], [0, 0]], NAMES)
    assert set(found["per_class"]["Snow"].values()) == {None}
    assert agreement([[0, 0], [0, 0]], NAMES)["overall"] is None


@given(st.lists(st.lists(st.integers(0, 1000), min_size=2, max_size=2), min_size=2, max_size=2))
def test_dice_and_iou_are_the_same_statement_and_json_holds_them(table: list[list[int]]):
    found = agreement(table, NAMES)
    json.dumps(found, allow_nan=False)
    for figures in found["per_class"].values():
        if figures["iou"] is not None:
            assert figures["dice"] == pytest.approx(2 * figures["iou"] / (1 + figures["iou"]), abs=2e-6)
            assert figures["iou"] <= figures["dice"]


def test_accuracy_tells_users_from_producers():
    found = accuracy([[8, 2], [0, 10]], NAMES)
    assert found["overall"] == 0.9
    assert found["per_class"]["Water"]["producers"] == 0.8
    assert found["per_class"]["Water"]["users"] == 1.0


def test_change_of_maps_that_never_change_is_found_never():
    found = change({"pixels": 100, "true": 4, "mapped": 0, "both": 0, "right_classes": 0})
    assert (found["users"], found["producers"], found["f1"]) == (None, 0.0, 0.0)
    assert found["mapped_share"] == 0.0


def test_change_with_the_wrong_classes_counts_as_change_only():
    found = change({"pixels": 100, "true": 4, "mapped": 5, "both": 4, "right_classes": 1})
    assert (found["users"], found["producers"]) == (0.8, 1.0)
    assert found["from_to"]["users"] == 0.2


def test_reliability_of_two_classes():
    reliable, rejected = [[6, 0], [1, 3]], [[2, 4], [0, 1]]
    nothing = [[0, 0], [0, 0]]
    found = reliability([nothing, reliable, nothing, rejected], NAMES, 1)
    assert found["label_precision"] == 0.9
    assert found["map_precision"] == round(12 / 17, 6)
    assert found["kept_share"] == round(10 / 17, 6)
    assert found["recall"] == 0.75
    assert found["per_class"]["Water"]["label_precision"] == 1.0
    assert found["per_class"]["Snow"] == {
        "label_precision": 0.75,
        "map_precision": 0.8,
        "kept_share": 0.8,
        "recall": 0.75,
    }
    assert found["macro"]["label_precision"] == 0.875


def test_undefined_figures_are_none():
    assert share(0, 0) is None
    assert mean([None, None]) is None
    assert mean([None, 0.5]) == 0.5
    assert f_score(None, None) is None
    assert f_score(0.0, 1.0) == 0.0
