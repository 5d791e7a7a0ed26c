"""Class distributions: rare kinds of a class stay, wrong parts go, whichever class they are called."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from landseries_clusterer.distributions import Distributions, fit, judge, part_medians
from landseries_clusterer.representatives import Representatives

LENGTH = 6
NAMES = tuple(f"v{number}" for number in range(LENGTH))
#: Where the kinds of land lie; kind 3 is a second kind of class 1.
PLACES = np.random.default_rng(5).normal(0, 3.0, (5, LENGTH))


def region(
    seed: int, parts: list[tuple[int, int, int]], speakers: int = 20
) -> tuple[Representatives, npt.NDArray[np.int64]]:
    """Parts as (class on the map, kind of land, how many); and the kind of land of every representative."""
    random = np.random.default_rng(seed)
    listed = [(cover, kind) for cover, kind, count in parts for _ in range(count)]
    cover = np.repeat([c for c, _ in listed], speakers).astype(np.uint8)
    kind = np.repeat([k for _, k in listed], speakers)
    own = np.repeat(random.normal(0, 0.5, (len(listed), LENGTH)), speakers, axis=0)
    values = PLACES[kind] + own + random.normal(0, 0.5, (len(kind), LENGTH))
    part = np.repeat(np.arange(len(listed)), speakers)
    return Representatives(part, cover, values.astype(np.float32)), kind


USUAL = [(1, 0, 30), (1, 3, 8), (2, 1, 40), (3, 2, 30), (1, 1, 6), (2, 2, 7), (3, 0, 5)]


def fitted() -> tuple[Distributions, Representatives, npt.NDArray[np.int64]]:
    found, kind = region(1, USUAL)
    return fit(NAMES, found), found, kind


def test_wrong_parts_are_unlike_their_class_and_a_rare_kind_is_like_it() -> None:
    distributions, found, kind = fitted()
    judged = judge(distributions, found.values.T, found.classes)
    right = np.array([0, 1, 2, 0])[kind] + 1 == found.classes
    assert (judged.likeness[right] > 0).mean() > 0.97
    assert (judged.likeness[~right] < 0).mean() > 0.95
    assert (judged.likeness[kind == 3] > 0).mean() > 0.95
    assert 0.5 < np.median(judged.distance[right]) < 2


def test_pixels_that_were_not_fitted_are_judged_alike() -> None:
    distributions, _, _ = fitted()
    fresh, kind = region(2, [(1, 0, 20), (1, 3, 20), (2, 1, 20), (1, 2, 20)])
    judged = judge(distributions, fresh.values.T, fresh.classes)
    assert (judged.likeness[kind != 2] > 0).mean() > 0.95
    assert (judged.likeness[kind == 2] < 0).mean() > 0.95
    far = judge(distributions, np.full((LENGTH, 1), 40, np.float32), np.array([1], np.uint8))
    assert far.distance[0] > 3 * distributions.distance.max()


def test_the_order_of_the_representatives_values_decides_nothing_else() -> None:
    found, _ = region(1, USUAL)
    first, second = fit(NAMES, found), fit(NAMES, found)
    for name in ("mean", "whitening", "log_weight", "likeness", "distance"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


def test_quantiles_rise_and_likeness_of_what_was_kept_is_mostly_positive() -> None:
    distributions, _, _ = fitted()
    assert (np.diff(distributions.likeness, axis=1) >= 0).all()
    assert (np.diff(distributions.distance, axis=1) >= 0).all()
    assert (distributions.likeness[:, 10] > 0).all()


def test_a_class_of_one_small_part_is_still_described() -> None:
    found, kind = region(3, [(1, 0, 20), (2, 1, 20), (3, 4, 1)], speakers=8)
    judged = judge(fit(NAMES, found), found.values.T, found.classes)
    assert (judged.likeness[kind == 4] > 0).all()


def test_a_single_class_has_no_other_to_be_likelier() -> None:
    found, _ = region(4, [(2, 0, 5)])
    judged = judge(fit(NAMES, found), found.values.T, found.classes)
    assert (judged.likeness > 0).all()
    assert np.isfinite(judged.likeness).all()


def test_an_index_that_never_changes_does_no_harm() -> None:
    found, _ = region(1, USUAL)
    found.values[:, 2] = 0.25
    judged = judge(fit(NAMES, found), found.values.T, found.classes)
    assert np.isfinite(judged.likeness).all()


def test_a_class_without_parts_is_known_to_nobody() -> None:
    distributions, found, _ = fitted()
    judged = judge(distributions, found.values[:3].T, np.full(3, 9, np.uint8))
    assert (judged.likeness < 0).all()
    assert np.isinf(judged.distance).all()


def test_no_representatives_are_an_error() -> None:
    nobody = Representatives(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty((0, LENGTH), np.float32))
    with pytest.raises(ValueError, match="no representatives"):
        fit(NAMES, nobody)


def test_medians_are_of_each_part() -> None:
    values = np.array([3, 1, 2, 9, 5, 7], np.float32)
    assert part_medians(values, np.array([0, 0, 0, 2, 2, 2])).tolist() == [2, 0, 7]
