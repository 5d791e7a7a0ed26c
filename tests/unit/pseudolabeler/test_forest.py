"""Growing a forest: the flat arrays say what scikit-learn's trees say, and a forest that is none cannot be made."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from landseries.errors import Refused
from landseries_pseudolabeler.forest import Forest, fit_forest, from_sklearn

NAMES = [f"date_{date}_B{band:02d}" for date in range(4) for band in range(3)]


def samples(count: int, seed: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Noisy reflectance series of the classes 2, 5 and 9 with missing dates."""
    random = np.random.default_rng(seed)
    labels = random.choice(np.array([2, 5, 9], np.uint8), count)
    values = labels[:, None] * 150 + random.normal(0, 700, (count, len(NAMES)))
    features = np.rint(values).astype(np.int16).reshape(count, 4, 3)
    features[random.random((count, 4)) < 0.1] = -32768
    return features.reshape(count, -1), labels


def mean_shares(forest: Forest, features: NDArray[np.int16]) -> NDArray[np.float64]:
    """(samples, classes) as the format says it, one sample and one node after the other."""
    result = np.zeros((features.shape[0], len(forest.classes)))
    for sample, row in enumerate(features):
        for root in forest.first_node[:-1]:
            node = root
            while forest.child[node] >= 0:
                node = forest.child[node] + int(row[forest.feature[node]] > forest.threshold[node])
            result[sample] += forest.shares[-1 - forest.child[node]]
    return result / forest.trees


def same(first: Forest, second: Forest) -> bool:
    return all(np.array_equal(getattr(first, field.name), getattr(second, field.name)) for field in fields(Forest))


@pytest.mark.parametrize("class_balance", ["none", "balanced"])
@pytest.mark.parametrize(("max_depth", "min_samples_leaf"), [(None, 1), (None, 4), (3, 1)])
def test_flat_arrays_give_exactly_the_probabilities_of_scikit_learn(
    class_balance: Any, max_depth: int | None, min_samples_leaf: int
) -> None:
    features, labels = samples(400, 1)
    unseen, _ = samples(100, 2)
    grown = RandomForestClassifier(
        9,
        max_depth=max_depth,
        min_samples_leaf=min_samples_leaf,
        random_state=3,
        class_weight=None if class_balance == "none" else class_balance,
    ).fit(features.astype(np.float32), labels)
    forest = fit_forest(
        *(features, labels),
        feature_names=NAMES,
        trees=9,
        seed=3,
        max_depth=max_depth,
        min_samples_leaf=min_samples_leaf,
        class_balance=class_balance,
    )
    assert forest.classes == (2, 5, 9)
    assert forest.features == tuple(NAMES)
    assert np.array_equal(mean_shares(forest, unseen), grown.predict_proba(unseen.astype(np.float32)))


def test_the_number_of_threads_changes_nothing() -> None:
    features, labels = samples(500, 4)
    one, *others = (
        fit_forest(features, labels, feature_names=NAMES, trees=12, seed=8, threads=threads) for threads in (1, 2, 5)
    )
    assert all(same(one, other) for other in others)
    assert not same(one, fit_forest(features, labels, feature_names=NAMES, trees=12, seed=9))


def test_whole_numbers_as_float32_are_the_same_samples() -> None:
    features, labels = samples(200, 5)
    stored = fit_forest(features, labels, feature_names=NAMES, trees=3, seed=0)
    floats = fit_forest(features.astype(np.float32), labels, feature_names=NAMES, trees=3, seed=0)
    assert same(stored, floats)


def test_thresholds_between_negative_whole_numbers_are_rounded_down() -> None:
    features = np.array([[-4], [-3]] * 10, np.int16)
    labels = np.array([1, 2] * 10, np.uint8)
    forest = fit_forest(features, labels, feature_names=["B02"], trees=5, seed=1)
    assert set(forest.threshold[~forest.is_leaf]) == {-4}
    assert mean_shares(forest, np.array([[-4], [-3]], np.int16)).argmax(axis=1).tolist() == [0, 1]


def test_children_stand_after_their_parents_level_by_level() -> None:
    features, labels = samples(300, 6)
    forest = fit_forest(features, labels, feature_names=NAMES, trees=1, seed=1)
    left = forest.child[~forest.is_leaf]
    assert np.array_equal(left, 1 + 2 * np.arange(left.size))


def test_equal_leaves_share_a_row() -> None:
    features, labels = samples(300, 7)
    forest = fit_forest(features, labels, feature_names=NAMES, trees=5, seed=1)
    assert np.array_equal(forest.shares, np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], float))


def test_one_class_or_none_is_refused() -> None:
    features, _ = samples(10, 0)
    with pytest.raises(Refused, match="two classes; there are 10 samples, of the classes \\[5\\]"):
        fit_forest(features, np.full(10, 5, np.uint8), feature_names=NAMES, trees=1, seed=0)
    with pytest.raises(Refused, match="0 samples"):
        fit_forest(features[:0], np.zeros(0, np.uint8), feature_names=NAMES, trees=1, seed=0)


@pytest.mark.parametrize("value", [0.5, 40_000.0, np.nan])
def test_features_that_are_no_stored_values_are_refused(value: float) -> None:
    features, labels = samples(10, 0)
    floats = features.astype(np.float32)
    floats[3, 2] = value
    with pytest.raises(ValueError, match="whole numbers from -32768 to 32767"):
        fit_forest(floats, labels, feature_names=NAMES, trees=1, seed=0)


def test_shapes_and_names_must_fit() -> None:
    features, labels = samples(10, 0)
    with pytest.raises(ValueError, match=r"features \(10, 12\), labels \(9,\)"):
        fit_forest(features, labels[:9], feature_names=NAMES, trees=1, seed=0)
    with pytest.raises(ValueError, match="11 feature names"):
        fit_forest(features, labels, feature_names=NAMES[1:], trees=1, seed=0)
    with pytest.raises(ValueError, match="uint8 class ids"):
        fit_forest(features, labels.astype(np.int64), feature_names=NAMES, trees=1, seed=0)


def test_a_forest_of_reflectance_between_zero_and_one_is_not_taken_over() -> None:
    """Thresholds round to 0 there, which would be a silent disaster beyond the 16-bit range and a loud one here."""
    features, labels = samples(50, 0)
    grown = RandomForestClassifier(2, random_state=0).fit(features.astype(np.float32) * 1000, labels)
    with pytest.raises(ValueError, match="16-bit range"):
        from_sklearn(grown, feature_names=NAMES, seed=0)


def stump(**changes: Any) -> Forest:
    """Two trees: a split with two leaves, and a lone leaf."""
    forest = Forest(
        features=("B02", "B03"),
        classes=(1, 4),
        seed=0,
        first_node=np.array([0, 3, 4], np.int32),
        feature=np.array([1, 0, 0, 0], np.uint16),
        threshold=np.array([10, 0, 0, 0], np.int16),
        child=np.array([1, -1, -2, -2], np.int32),
        shares=np.array([[1.0, 0.0], [0.25, 0.75]]),
    )
    return replace(forest, **changes)


def test_a_small_forest_made_by_hand() -> None:
    assert stump().trees == 2
    assert mean_shares(stump(), np.array([[0, 10], [0, 11]], np.int16)).tolist() == [[0.625, 0.375], [0.25, 0.75]]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"features": ("B02", "B02")}, "features"),
        ({"features": ()}, "features"),
        ({"features": ("B02", 3)}, "features"),
        ({"classes": (4, 1)}, "classes"),
        ({"classes": (1, 256)}, "classes"),
        ({"classes": (True, 4)}, "classes"),
        ({"classes": (1, 2, 3)}, "shares"),
        ({"seed": -1}, "seed"),
        ({"first_node": np.array([0, 3, 5], np.int32)}, "first_node"),
        ({"first_node": np.array([1, 3, 4], np.int32)}, "first_node"),
        ({"first_node": np.array([0, 3, 3, 4], np.int32)}, "first_node"),
        ({"first_node": np.array([0, 5, 4], np.int32)}, "first_node"),
        ({"first_node": np.array([0], np.int32)}, "first_node"),
        ({"first_node": np.array([0, 3, 4], np.int64)}, "first_node: int64"),
        ({"feature": np.array([2, 0, 0, 0], np.uint16)}, "beyond the last one \\(1\\)"),
        ({"feature": np.array([1, 0, 0], np.uint16)}, "expected equal"),
        ({"child": np.array([0, -1, -2, -2], np.int32)}, "children after their parent"),
        ({"child": np.array([2, -1, -2, -2], np.int32)}, "within its tree"),
        ({"child": np.array([2**31 - 1, -1, -2, -2], np.int32)}, "within its tree"),
        ({"child": np.array([-1, -1, -2, -2], np.int32)}, "exactly one parent"),
        ({"child": np.array([1, -3, -2, -2], np.int32)}, "row of shares"),
        ({"child": np.array([1, -(2**31), -2, -2], np.int32)}, "row of shares"),
        ({"shares": np.array([[1.0, 0.0], [0.5, 0.75]])}, "sum to 1"),
        ({"shares": np.array([[1.0, 0.0], [np.nan, 0.75]])}, "from 0 to 1"),
        ({"shares": np.array([[1.5, -0.5], [0.25, 0.75]])}, "from 0 to 1"),
        ({"shares": np.zeros((0, 2))}, "shares"),
        ({"shares": np.zeros(2)}, "shares"),
    ],
)
def test_what_is_no_forest_cannot_be_made(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        stump(**changes)


def test_a_node_with_two_parents_is_refused() -> None:
    with pytest.raises(ValueError, match="exactly one parent"):
        stump(
            first_node=np.array([0, 5], np.int32),
            feature=np.zeros(5, np.uint16),
            threshold=np.zeros(5, np.int16),
            child=np.array([1, 3, 3, -1, -1], np.int32),
        )
