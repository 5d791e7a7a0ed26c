"""Labelling: exactly scikit-learn's labels and probabilities, whatever the block, the layout and the threads."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

import landseries_pseudolabeler.walk as walk_module
from landseries_pseudolabeler.forest import Forest, from_sklearn
from landseries_pseudolabeler.walk import predict

FEATURES = 24
INT16 = st.integers(-32768, 32767)


def series(count: int, seed: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Overlapping classes, so that trees are deep and leaves mixed; a tenth of the values is missing."""
    random = np.random.default_rng(seed)
    labels = random.choice(np.array([1, 3, 4, 8, 11], np.uint8), count)
    features = np.rint(labels[:, None] * 60 + random.normal(0, 900, (count, FEATURES))).astype(np.int16)
    features[random.random(features.shape) < 0.1] = -32768
    return features, labels


def grow(min_samples_leaf: int = 1, trees: int = 15, class_weight: str | None = None) -> RandomForestClassifier:
    features, labels = series(1500, 1)
    grown = RandomForestClassifier(trees, min_samples_leaf=min_samples_leaf, random_state=0, class_weight=class_weight)
    return grown.fit(features.astype(np.float32), labels)


def flat(grown: RandomForestClassifier) -> Forest:
    return from_sklearn(grown, feature_names=[f"f{number}" for number in range(FEATURES)], seed=0)


@pytest.mark.parametrize(
    ("min_samples_leaf", "trees", "class_weight"), [(1, 16, None), (3, 15, None), (7, 15, "balanced"), (1, 1, None)]
)
def test_labels_and_probabilities_are_exactly_scikit_learns(
    min_samples_leaf: int, trees: int, class_weight: str | None
) -> None:
    grown = grow(min_samples_leaf, trees, class_weight)
    features, _ = series(3000, 2)
    expected = grown.predict_proba(features.astype(np.float32))
    found = predict(flat(grown), np.ascontiguousarray(features.T), probabilities=True)
    assert found.probabilities is not None
    assert np.array_equal(found.probabilities, expected.T.astype(np.float32))
    assert np.array_equal(found.label, grown.classes_[expected.argmax(axis=1)])
    assert np.array_equal(found.probability, expected.max(axis=1).astype(np.float32))
    assert found.label.dtype == np.uint8


def test_ties_go_to_the_first_class_as_they_do_in_scikit_learn() -> None:
    grown = grow(trees=2)
    features, _ = series(3000, 3)
    expected = grown.predict_proba(features.astype(np.float32))
    ties = (expected == expected.max(axis=1, keepdims=True)).sum(axis=1) > 1
    assert ties.sum() > 500
    assert np.array_equal(predict(flat(grown), features.T).label, grown.predict(features.astype(np.float32)))


@pytest.mark.parametrize("pixels", [0, 1, 511, 512, 513, 8191, 8192, 8193, 20_000])
def test_neither_blocks_nor_threads_nor_layout_matter(pixels: int) -> None:
    forest = flat(grow(2, trees=3))
    features, _ = series(20_000, 4)
    whole = predict(forest, features.T, probabilities=True, threads=1)
    assert whole.probabilities is not None
    part = features[:pixels]
    spaced = np.zeros((FEATURES, 2 * pixels), np.int16)[:, ::2]
    spaced[:] = part.T
    for threads in (1, 2, 7):
        for values in (part.T, np.ascontiguousarray(part.T), spaced):
            found = predict(forest, values, probabilities=True, threads=threads)
            assert found.probabilities is not None
            assert np.array_equal(found.label, whole.label[:pixels])
            assert np.array_equal(found.probability, whole.probability[:pixels])
            assert np.array_equal(found.probabilities, whole.probabilities[:, :pixels])


def test_the_caller_sets_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Recorder(ThreadPoolExecutor):
        def __init__(self, max_workers: int, thread_name_prefix: str) -> None:
            asked.append(max_workers)
            super().__init__(max_workers, thread_name_prefix)

    monkeypatch.setattr(walk_module, "ThreadPoolExecutor", Recorder)
    forest = flat(grow(5, trees=1))
    values = np.zeros((FEATURES, 20_000), np.int16)
    predict(forest, values, threads=3)
    before = numba.get_num_threads()
    predict(forest, values)
    numba.set_num_threads(1)
    predict(forest, values)
    numba.set_num_threads(before)
    assert asked == [3] + [before] * (before > 1)


def test_probabilities_are_given_only_when_asked_for() -> None:
    assert predict(flat(grow(5, trees=1)), np.zeros((FEATURES, 4), np.int16)).probabilities is None


@pytest.mark.parametrize(
    "features",
    [np.zeros((FEATURES + 1, 5), np.int16), np.zeros((FEATURES, 5), np.float32), np.zeros(FEATURES, np.int16)],
)
def test_features_that_do_not_fit_are_refused(features: NDArray[np.int16]) -> None:
    with pytest.raises(ValueError, match=r"the forest reads int16 \(24, pixels\)"):
        predict(flat(grow(5, trees=1)), features)


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_than_one_thread_is_refused(threads: int) -> None:
    with pytest.raises(ValueError, match="threads"):
        predict(flat(grow(5, trees=1)), np.zeros((FEATURES, 5), np.int16), threads=threads)


@st.composite
def forests(draw: st.DrawFn) -> Forest:
    """Any trees at all: chains, lone leaves, thresholds at the ends of the range, leaves of one class or several."""
    features, classes = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    child: list[int] = []
    first_node = [0]
    rows = draw(st.integers(1, 5))
    for _ in range(draw(st.integers(1, 4))):
        root = len(child)
        child.append(-1 - draw(st.integers(0, rows - 1)))
        for _ in range(draw(st.integers(0, 25))):
            leaves = [node for node in range(root, len(child)) if child[node] < 0]
            split = leaves[-1] if draw(st.booleans()) else draw(st.sampled_from(leaves))
            child[split] = len(child)
            child += [-1 - draw(st.integers(0, rows - 1)) for _ in range(2)]
        first_node.append(len(child))
    nodes = len(child)
    row = st.lists(st.integers(0, 9), min_size=classes, max_size=classes)
    counts = np.array(draw(st.lists(row, min_size=rows, max_size=rows)))
    counts[:, 0] += counts.sum(axis=1) == 0
    return Forest(
        features=tuple("abcd"[:features]),
        classes=tuple(range(classes)),
        seed=0,
        first_node=np.array(first_node, np.int32),
        feature=np.array(draw(st.lists(st.integers(0, features - 1), min_size=nodes, max_size=nodes)), np.uint16),
        threshold=np.array(draw(st.lists(INT16, min_size=nodes, max_size=nodes)), np.int16),
        child=np.array(child, np.int32),
        shares=counts / counts.sum(axis=1, keepdims=True),
    )


@settings(max_examples=60, deadline=None)
@given(forest=forests(), data=st.data())
def test_any_forest_is_walked_as_its_format_says(forest: Forest, data: st.DataObject) -> None:
    thresholds = st.sampled_from(forest.threshold.tolist())
    near = thresholds.flatmap(lambda value: st.integers(max(value - 1, -32768), min(value + 1, 32767)))
    features = len(forest.features)
    rows = data.draw(st.lists(st.lists(near | INT16, min_size=features, max_size=features), min_size=1, max_size=20))
    expected = []
    for row in rows:
        votes = np.zeros(len(forest.classes))
        for root in forest.first_node[:-1]:
            node = int(root)
            while forest.child[node] >= 0:
                node = int(forest.child[node]) + int(row[forest.feature[node]] > forest.threshold[node])
            votes += forest.shares[-1 - forest.child[node]]
        expected.append(votes / forest.trees)
    found = predict(forest, np.array(rows, np.int16).T, probabilities=True)
    assert found.probabilities is not None
    assert np.array_equal(found.probabilities, np.array(expected).T.astype(np.float32))
    assert found.label.tolist() == [int(votes.argmax()) for votes in expected]


def test_one_version_of_the_kernel_serves_every_layout() -> None:
    """Each would cost every machine a compilation of its own."""
    assert len(walk_module._label_pixels.signatures) == 1  # type: ignore[attr-defined]


def test_it_works_where_no_cache_can_be_written() -> None:
    """A container with a read-only root has no place for compiled code; Numba then refuses to cache."""
    script = (
        "import numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "import landseries_pseudolabeler.walk as walk\n"
        "print(type(walk._label_pixels._cache).__name__)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=120)
    assert result.stdout.split() == ["NullCache"]
