"""Cluster, then associate: clusters of the tile take the class of most of their pixels."""

from __future__ import annotations

import numpy as np

from landseries_clusterer.association import associate


def test_clusters_take_the_class_of_most_of_their_pixels() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(1, 4, 5000)
    values = (10.0 * truth + random.normal(0, 1, (4, 5000))).astype(np.float32)
    mapped = np.where(random.random(5000) < 0.2, truth % 3 + 1, truth).astype(np.uint8)
    usable = random.random(5000) < 0.9
    priority = random.integers(0, 2**63, 5000).astype(np.uint64)
    number, clusters = associate(values, usable, mapped, priority, clusters=6, min_overlap=0.5)
    believed = clusters.in_dominant
    assert np.array_equal(believed, usable & (mapped == truth))
    assert np.array_equal(number > 0, usable)
    assert np.array_equal(clusters.classes[number[usable] - 1], truth[usable])
    assert clusters.pixels.sum() == usable.sum()
    assert clusters.dominant.sum() == believed.sum()


def test_a_cluster_in_which_no_class_prevails_is_not_believed() -> None:
    random = np.random.default_rng(1)
    mapped = np.tile(np.array([1, 2, 3], np.uint8), 200)
    number, clusters = associate(
        random.normal(0, 1, (2, 600)).astype(np.float32),
        np.ones(600, bool),
        mapped,
        np.arange(600).astype(np.uint64),
        clusters=2,
        min_overlap=0.6,
    )
    assert (number > 0).all()
    assert not clusters.in_dominant.any()


def test_a_tile_without_usable_pixels_has_no_clusters() -> None:
    number, clusters = associate(
        np.zeros((2, 9), np.float32), np.zeros(9, bool), np.ones(9, np.uint8), np.arange(9).astype(np.uint64),
        clusters=3, min_overlap=0.5,
    )  # fmt: skip
    assert not number.any()
    assert len(clusters.classes) == 0
    assert clusters.mean.shape == (0, 2)
