"""The Random Forest of the training year, as flat arrays that compare stored integers.

Scikit-learn grows the trees; what is kept of them is five flat arrays. Features are the stored 16-bit integers, so a
threshold t can be rounded down without changing any decision (for a whole number x, x <= t exactly when x <= floor(t)),
and a node shrinks to the few bytes that the labelling walk wants. A `Forest` checks itself when it is made: whoever
holds one may walk it without looking at bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from landseries.errors import Refused

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

#: "balanced" weights each class by the inverse of its share of the samples; "none" takes samples as they come.
ClassBalance = Literal["none", "balanced"]

_MAX_FEATURES: Final = 65_535
_MAX_NODES: Final = 2**31 - 1
_INT16: Final = np.iinfo(np.int16)
_DTYPES: Final = {
    "first_node": np.dtype(np.int32),
    "feature": np.dtype(np.uint16),
    "threshold": np.dtype(np.int16),
    "child": np.dtype(np.int32),
    "shares": np.dtype(np.float64),
}


@dataclass(frozen=True, eq=False)
class Forest:
    """A forest of binary decision trees over stored 16-bit features.

    The nodes of all trees stand one after the other, each tree breadth first, and the two children of a node side by
    side. At an inner node a value goes to the left child if it is at most the threshold, else to the right one.

    Attributes:
        features: Name of each feature, in the order of the feature axis.
        classes: Class id (0..255, ascending) of each column of `shares`.
        seed: Seed that the forest was grown with.
        first_node: (trees + 1,) int32; tree t has the nodes first_node[t] to first_node[t + 1] - 1, its root first.
        feature: (nodes,) uint16, the feature that an inner node looks at; 0 at leaves.
        threshold: (nodes,) int16 in the features' stored units; 0 at leaves.
        child: (nodes,) int32; at an inner node its left child, which the right one follows; at a leaf -1 - its row of
            `shares`.
        shares: (rows, classes) float64, the distinct shares of the classes among the training samples of a leaf.
            Float64 because the forest's label must be the one that scikit-learn's float64 mean gives, ties included.

    Raises:
        ValueError: An array has another dtype or shape, an index leaves its range, the nodes of a tree do not form a
            tree with every child after its parent, or shares are no shares. The text names the array.
    """

    features: tuple[str, ...]
    classes: tuple[int, ...]
    seed: int
    first_node: NDArray[np.int32]
    feature: NDArray[np.uint16]
    threshold: NDArray[np.int16]
    child: NDArray[np.int32]
    shares: NDArray[np.float64]

    def __post_init__(self) -> None:
        _check_names(self)
        _check_arrays(self)
        _check_nodes(self)
        _check_shares(self)

    @property
    def trees(self) -> int:
        """Number of trees."""
        return self.first_node.size - 1

    @property
    def is_leaf(self) -> NDArray[np.bool_]:
        """(nodes,) bool, true at leaves."""
        return self.child < 0


def fit_forest(
    features: NDArray[np.int16] | NDArray[np.float32],
    labels: NDArray[np.uint8],
    *,
    feature_names: Sequence[str],
    trees: int,
    seed: int,
    max_depth: int | None = None,
    min_samples_leaf: int = 1,
    class_balance: ClassBalance = "none",
    threads: int = 1,
) -> Forest:
    """Grow a Random Forest (Breiman 2001; bootstrap samples, Gini impurity, sqrt(features) candidates a split).

    Every tree draws from a seed of its own that is fixed before any tree grows: the result is the same, to the byte,
    for any number of threads.

    Args:
        features: (samples, features) stored values, int16, or whole numbers of that range as float32. A missing date's
            -32768 is a value like any other: trees learn to step around it.
        labels: (samples,) uint8 class ids.
        feature_names: Name of each feature, distinct.
        trees: Number of trees.
        seed: 0 to 2**32 - 1.
        max_depth: Depth of a tree at most; None for no limit.
        min_samples_leaf: Samples in a leaf at least.
        class_balance: Whether classes are weighted.
        threads: Trees grown at the same time.

    Raises:
        ValueError: Arrays do not fit each other, or features are no stored 16-bit values.
        Refused: There are no samples, or only of one class.
    """
    from sklearn.ensemble import RandomForestClassifier

    _check_samples(features, labels, feature_names)
    grown = RandomForestClassifier(
        n_estimators=trees,
        max_depth=max_depth,
        min_samples_leaf=min_samples_leaf,
        class_weight=None if class_balance == "none" else class_balance,
        random_state=seed,
        n_jobs=threads,
    ).fit(np.asarray(features, np.float32), labels)
    return from_sklearn(grown, feature_names=feature_names, seed=seed)


def from_sklearn(grown: RandomForestClassifier, *, feature_names: Sequence[str], seed: int) -> Forest:
    """Flatten a forest that scikit-learn fitted on whole numbers of 16 bits (as float32) with uint8 class labels.

    Args:
        grown: The fitted classifier, one output.
        feature_names: Name of each feature, distinct.
        seed: The seed to record.

    Raises:
        ValueError: A threshold lies outside the 16-bit range, or names do not fit.
    """
    trees = [_flatten(estimator.tree_) for estimator in grown.estimators_]
    first_node = np.cumsum([0] + [tree.child.size for tree in trees])
    if first_node[-1] > _MAX_NODES:
        raise ValueError(f"the forest has {first_node[-1]} nodes, more than {_MAX_NODES}: limit max_depth")
    shares, row = np.unique(np.concatenate([tree.leaf_shares for tree in trees]), axis=0, return_inverse=True)
    roots = first_node[:-1]
    child = np.concatenate([tree.child + (tree.child > 0) * root for tree, root in zip(trees, roots, strict=True)])
    child[child == 0] = -1 - row.reshape(-1)
    return Forest(
        features=tuple(feature_names),
        classes=tuple(int(value) for value in grown.classes_),
        seed=seed,
        first_node=first_node.astype(np.int32),
        feature=np.concatenate([tree.feature for tree in trees]),
        threshold=np.concatenate([tree.threshold for tree in trees]),
        child=child.astype(np.int32),
        shares=np.ascontiguousarray(shares),
    )


@dataclass(frozen=True)
class _Tree:
    """One tree breadth first; `child` counts from the tree's root and is 0 at leaves."""

    feature: NDArray[np.uint16]
    threshold: NDArray[np.int16]
    child: NDArray[np.int64]
    leaf_shares: NDArray[np.float64]


def _flatten(tree: Any) -> _Tree:
    """Renumber a scikit-learn tree level by level, siblings side by side, and round its thresholds down."""
    left, right = tree.children_left, tree.children_right
    levels = [np.zeros(1, np.int64)]
    while True:
        inner = levels[-1][left[levels[-1]] >= 0]
        if inner.size == 0:
            break
        levels.append(np.stack([left[inner], right[inner]], axis=1).reshape(-1))
    order = np.concatenate(levels)
    position = np.empty_like(order)
    position[order] = np.arange(order.size)
    leaf = left[order] < 0
    threshold = np.where(leaf, 0.0, np.floor(tree.threshold[order]))
    if threshold.min() < _INT16.min or threshold.max() > _INT16.max:
        raise ValueError("a threshold lies outside the 16-bit range: the forest was not fitted on stored values")
    return _Tree(
        feature=np.where(leaf, 0, tree.feature[order]).astype(np.uint16),
        threshold=threshold.astype(np.int16),
        child=np.where(leaf, 0, position[left[order]]),
        leaf_shares=tree.value[order[leaf], 0, :],
    )


def _check_samples(features: NDArray[Any], labels: NDArray[Any], names: Sequence[str]) -> None:
    if features.ndim != 2 or labels.shape != features.shape[:1] or features.shape[1] != len(names):
        raise ValueError(
            f"features {features.shape}, labels {labels.shape} and {len(names)} feature names do not fit: "
            "expected (samples, features), (samples,) and one name a feature"
        )
    if labels.dtype != np.uint8:
        raise ValueError(f"labels are {labels.dtype}: expected uint8 class ids")
    if features.dtype != np.int16:
        whole = (features == np.rint(features)) & (features >= _INT16.min) & (features <= _INT16.max)
        if not whole.all():
            raise ValueError("features are no stored values: expected whole numbers from -32768 to 32767")
    present = np.unique(labels)
    if present.size < 2:
        raise Refused(
            f"a forest needs samples of at least two classes; there are {labels.size} samples, "
            f"of the classes {present.tolist()}"
        )


def _check_names(forest: Forest) -> None:
    names, classes = forest.features, forest.classes
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
        raise ValueError("features: expected distinct, non-empty names")
    if not 1 <= len(names) <= _MAX_FEATURES:
        raise ValueError(f"features: {len(names)} names; expected 1 to {_MAX_FEATURES}")
    if not all(type(value) is int and 0 <= value <= 255 for value in classes):
        raise ValueError(f"classes: {classes}; expected whole numbers from 0 to 255")
    if not classes or list(classes) != sorted(set(classes)):
        raise ValueError(f"classes: {classes}; expected at least one, distinct and ascending")
    if type(forest.seed) is not int or not 0 <= forest.seed < 2**32:
        raise ValueError(f"seed: {forest.seed!r}; expected a whole number from 0 to {2**32 - 1}")


def _check_arrays(forest: Forest) -> None:
    for name, dtype in _DTYPES.items():
        array = getattr(forest, name)
        axes = 2 if name == "shares" else 1
        if array.dtype != dtype or array.ndim != axes or not array.flags.c_contiguous:
            raise ValueError(f"{name}: {array.dtype} {array.shape}; expected contiguous {dtype} with {axes} axes")
    nodes = forest.child.size
    if forest.feature.size != nodes or forest.threshold.size != nodes:
        raise ValueError(
            f"feature, threshold, child: {forest.feature.size}, {forest.threshold.size}, {nodes} nodes; expected equal"
        )
    first = forest.first_node.astype(np.int64)
    if first.size < 2 or first[0] != 0 or first[-1] != nodes or (np.diff(first) < 1).any():
        raise ValueError(f"first_node: expected to rise from 0 to the number of nodes ({nodes}) at every tree")
    if forest.shares.shape[0] < 1 or forest.shares.shape[1] != len(forest.classes):
        raise ValueError(f"shares: {forest.shares.shape}; expected (rows, {len(forest.classes)}) with at least one row")


def _check_nodes(forest: Forest) -> None:
    nodes = forest.child.size
    child = forest.child.astype(np.int64)
    inner = np.flatnonzero(child >= 0)
    left = child[inner]
    tree_end = np.repeat(forest.first_node[1:], np.diff(forest.first_node))[inner]
    if (left <= inner).any() or (left + 1 >= tree_end).any():
        raise ValueError("child: expected children after their parent and within its tree")
    parents = np.bincount(left, minlength=nodes) + np.bincount(left + 1, minlength=nodes)
    parents[forest.first_node[:-1]] += 1
    if (parents != 1).any():
        raise ValueError("child: expected exactly one parent for every node but the roots")
    if (-1 - child[child < 0] >= forest.shares.shape[0]).any():
        raise ValueError(f"child: a leaf names a row of shares beyond the last one ({forest.shares.shape[0] - 1})")
    if (forest.feature[inner] >= len(forest.features)).any():
        raise ValueError(f"feature: a node looks at a feature beyond the last one ({len(forest.features) - 1})")


def _check_shares(forest: Forest) -> None:
    shares = forest.shares
    if not ((shares >= 0) & (shares <= 1)).all() or (np.abs(shares.sum(axis=1) - 1) > 1e-6).any():
        raise ValueError("shares: expected values from 0 to 1 that sum to 1 in every row")
