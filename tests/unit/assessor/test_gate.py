"""The gate: a better model passes; one map for all years, random flips and random repairs do not."""

from __future__ import annotations

import numpy as np
import pytest

from landseries_assessor.assessment import assess
from landseries_assessor.controls import pooled_map, random_flips, random_repairs
from landseries_assessor.counting import PREDICTION_BLOCKS, WHOLE_AREA, TileMaps, count_tile
from landseries_assessor.gate import gate

IDS = tuple(range(1, 7))
NAMES = tuple("ABCDEF")
YEARS = (2018, 2019, 2020)
SHAPE = (120, 120)

Maps = dict[int, np.ndarray]


def _noisy(truth: Maps, lasting: float, anew: float, seed: int) -> Maps:
    """Maps with errors that stay over the years and errors drawn each year."""
    generator = np.random.default_rng(seed)
    stays, instead = generator.random(SHAPE) < lasting, generator.choice(IDS, size=SHAPE)
    noisy = {}
    for year, classes in truth.items():
        fresh = generator.random(SHAPE) < anew
        noisy[year] = np.where(fresh, generator.choice(IDS, size=SHAPE), np.where(stays, instead, classes)).astype("u1")
    return noisy


@pytest.fixture(scope="module")
def truth() -> Maps:
    first = np.repeat(np.repeat(np.random.default_rng(0).choice(IDS, size=(12, 12)), 10, 0), 10, 1).astype(np.uint8)
    second, third = first.copy(), first.copy()
    second[:20, :20], third[:20, :20] = 1, 1
    third[60:80, 60:80] = 2
    return {2018: first, 2019: second, 2020: third}


@pytest.fixture(scope="module")
def single(truth: Maps) -> Maps:
    return _noisy(truth, 0.08, 0.12, 1)


def _assessment(truth: Maps, single: Maps, multi: Maps, with_truth: bool = True) -> dict:
    tile = TileMaps({"multi-year": multi, "single-year": single}, 2018, truth if with_truth else {})
    everywhere = np.ones(SHAPE, bool)
    counts = count_tile(tile, {PREDICTION_BLOCKS: everywhere, WHOLE_AREA: everywhere}, IDS, YEARS)
    return assess(counts, NAMES, ["multi-year", "single-year"])


def test_fewer_fresh_errors_pass(truth: Maps, single: Maps):
    result = gate(_assessment(truth, single, _noisy(truth, 0.08, 0.05, 2)))
    assert result.passed, result.failures
    assert min(result.agreement_gain.values()) > 0.03
    assert result.change_f1_gain is not None
    assert result.change_f1_gain > 0


def test_one_pooled_map_for_all_years_fails_although_it_agrees_with_itself(truth: Maps, single: Maps):
    assessment = _assessment(truth, single, pooled_map(single))
    assert {entry["overall"] for entry in assessment["agreement"]["multi-year"].values()} == {1.0}
    assert {entry["f1"] for entry in assessment["change"]["multi-year"].values()} == {0.0}
    result = gate(assessment)
    assert not result.passed
    assert any("F1" in failure for failure in result.failures)


def test_random_flips_fail(truth: Maps, single: Maps):
    result = gate(_assessment(truth, single, random_flips(single, IDS, 0.1, seed=3)))
    assert not result.passed
    assert min(result.agreement_gain.values()) < 0
    assert result.accuracy_gain is not None
    assert result.accuracy_gain < 0


def test_flips_of_the_better_maps_fail_too(truth: Maps, single: Maps):
    better = _noisy(truth, 0.08, 0.05, 2)
    assert not gate(_assessment(truth, single, random_flips(better, IDS, 0.1, seed=3))).passed


def test_changes_undone_at_random_agree_more_but_find_no_change_better(truth: Maps, single: Maps):
    multi = random_repairs(single, 1.0, seed=4)
    result = gate(_assessment(truth, single, multi))
    assert min(result.agreement_gain.values()) > 0.03
    assert not result.passed


def test_the_same_maps_gain_nothing(truth: Maps, single: Maps):
    result = gate(_assessment(truth, single, single))
    assert not result.passed
    assert result.accuracy_gain == 0
    assert not any("accuracy" in failure for failure in result.failures)


def test_without_truth_nothing_passes(truth: Maps, single: Maps):
    result = gate(_assessment(truth, single, _noisy(truth, 0.08, 0.05, 2), with_truth=False))
    assert not result.passed
    assert result.change_f1_gain is None


def test_a_missing_model_does_not_pass(truth: Maps, single: Maps):
    assessment = _assessment(truth, single, single)
    assert not gate(assessment, baseline="multi-year-equal").passed


def test_the_pooled_map_takes_the_majority_and_the_lowest_of_equals():
    maps = {year: np.array([[a, b]], dtype=np.uint8) for year, a, b in ((1, 2, 5), (2, 2, 3), (3, 4, 0))}
    assert pooled_map(maps)[3].tolist() == [[2, 3]]
