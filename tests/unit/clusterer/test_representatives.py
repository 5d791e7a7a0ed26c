"""First step: a part keeps what most of it looks like."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from landseries_clusterer.representatives import TileParts, dominant_clusters

Parts = npt.NDArray[np.int32]


def found_in(values: npt.NDArray[np.float64], parts: Parts, usable: npt.NDArray[np.bool_] | None = None) -> TileParts:
    return dominant_clusters(
        np.ascontiguousarray(values.T, dtype=np.float32),
        np.ones(len(parts), bool) if usable is None else usable,
        parts,
        np.where(parts > 0, parts % 3 + 1, 0).astype(np.uint8),
        np.random.default_rng(9).integers(0, 2**63, len(parts)).astype(np.uint64),
        clusters=4,
        min_part_px=20,
        merge_distance=1.6,
    )


def test_a_part_that_is_alike_throughout_stays_whole_and_a_foreign_minority_goes() -> None:
    random = np.random.default_rng(0)
    alike = random.normal(0, 1, (400, 6))
    mixed = np.concatenate([random.normal(0, 1, (300, 6)), random.normal(8, 1, (100, 6))])
    parts = np.repeat(np.array([1, 2], np.int32), 400)
    found = found_in(np.concatenate([alike, mixed]), parts)
    assert found.dominant[0] > 0.95 * 400
    assert found.in_dominant[400:700].mean() > 0.95
    assert not found.in_dominant[700:].any()
    assert np.abs(found.mean[1]).max() < 0.5
    assert found.dominant.tolist() == [found.in_dominant[:400].sum(), found.in_dominant[400:].sum()]
    assert found.pixels.tolist() == [400, 400]
    assert found.classes.tolist() == [2, 3]


def test_small_parts_and_unusable_pixels_have_no_say() -> None:
    random = np.random.default_rng(1)
    parts = np.repeat(np.array([1, 2, 0], np.int32), [19, 60, 21])
    usable = np.ones(100, bool)
    usable[30:45] = False
    found = found_in(random.normal(0, 1, (100, 4)), parts, usable)
    assert found.dominant[0] == 0
    assert not found.in_dominant[:19].any()
    assert not found.in_dominant[30:45].any()
    assert not found.in_dominant[79:].any()
    assert found.dominant[1] > 40
    assert (parts[found.speakers] == 2).all()


def test_speakers_are_few_of_the_dominant_cluster_and_grow_slowly() -> None:
    parts = np.repeat(np.array([1, 2], np.int32), [25, 4000])
    found = found_in(np.random.default_rng(2).normal(0, 1, (4025, 4)), parts)
    spoken = np.bincount(parts[found.speakers])
    assert 8 <= spoken[1] <= 10
    assert spoken[2] == 64
    assert found.in_dominant[found.speakers].all()
    assert len(np.unique(found.speakers)) == len(found.speakers)


def test_a_part_is_judged_the_same_whatever_lies_beside_it() -> None:
    """Only the scale is the tile's; where it is the same, seeds and so clusters are."""
    random = np.random.default_rng(3)
    values = random.normal(0, 1, (300, 4))
    parts = np.ones(300, np.int32)
    alone = found_in(values, parts)
    twice = dominant_clusters(
        np.ascontiguousarray(np.concatenate([values, values]).T, dtype=np.float32),
        np.ones(600, bool),
        np.repeat(np.array([2, 1], np.int32), 300),
        np.full(600, 2, np.uint8),
        np.tile(np.random.default_rng(9).integers(0, 2**63, 300).astype(np.uint64), 2),
        clusters=4,
        min_part_px=20,
        merge_distance=1.6,
    )
    assert np.array_equal(twice.in_dominant[:300], alone.in_dominant)
    assert np.array_equal(twice.in_dominant[300:], alone.in_dominant)


def test_a_tile_without_parts_has_none() -> None:
    found = found_in(np.zeros((10, 4)), np.zeros(10, np.int32))
    assert len(found.classes) == 0
    assert not found.in_dominant.any()
