"""Verdicts: each rule by itself."""

from __future__ import annotations

import numpy as np
import pytest

from landseries_clusterer.distributions import QUANTILES, Distributions, Judgement
from landseries_clusterer.verdicts import NO_SCORE, Verdict, give_verdicts, verdicts_of_association

RELIABLE, UNCERTAIN, REJECTED = Verdict.RELIABLE, Verdict.UNCERTAIN, Verdict.REJECTED


def distributions(classes: list[int]) -> Distributions:
    """Classes whose representatives have likenesses and distances spread evenly over 0..1 and 0..2."""
    steps = np.tile(np.linspace(0, 1, QUANTILES, dtype=np.float32), (len(classes), 1))
    none = np.empty((0, 1), np.float32)
    return Distributions(
        ("v",), none[0:0, 0], none[0:0, 0], np.array(classes, np.uint8), np.empty(0, np.int32), none[:, 0], none,
        none[:, :, None], steps, 2 * steps,
    )  # fmt: skip


def verdict_of(likeness: float, distance: float = 1.0, *, cover: int = 1, part: int = 1, dominant: bool = True) -> int:
    """The verdict on one pixel of an otherwise good part."""
    found = give_verdicts(
        np.array([1, 1, 1, cover], np.uint8),
        np.array([1, 1, 1, part], np.int32),
        np.array([True, True, True, dominant]),
        Judgement(np.array([0.5, 0.6, 0.7, likeness], np.float32), np.array([1, 1, 1, distance], np.float32)),
        distributions([1, 2]),
        0.9,
    )
    assert found.verdict[:3].tolist() == [RELIABLE] * 3
    return int(found.verdict[3])


def test_a_pixel_is_reliable_only_if_all_is_well() -> None:
    assert verdict_of(0.5) == RELIABLE
    assert verdict_of(0.05) == UNCERTAIN
    assert verdict_of(-0.1) == REJECTED
    assert verdict_of(0.5, 1.95) == UNCERTAIN
    assert verdict_of(0.5, dominant=False) == UNCERTAIN
    assert verdict_of(-0.1, dominant=False) == REJECTED
    assert verdict_of(0.5, part=0) == UNCERTAIN
    assert verdict_of(-0.1, part=0) == UNCERTAIN
    assert verdict_of(-1000, cover=3, part=2) == UNCERTAIN
    assert verdict_of(0.5, cover=0, part=0, dominant=False) == Verdict.NONE


def test_a_part_that_looks_like_another_class_is_rejected_as_a_whole() -> None:
    found = give_verdicts(
        np.ones(5, np.uint8),
        np.array([1, 1, 1, 1, 2], np.int32),
        np.array([True, True, True, False, True]),
        Judgement(np.array([-1, -1, 0.9, 0.9, 0.9], np.float32), np.ones(5, np.float32)),
        distributions([1, 2]),
        0.9,
    )
    assert found.verdict.tolist() == [REJECTED, REJECTED, REJECTED, UNCERTAIN, RELIABLE]


def test_scores_rise_with_likeness_and_are_none_where_nothing_is_known() -> None:
    likeness = np.array([-1000, -0.5, 0, 0.5, 1000, 0.5], np.float32)
    parts = np.array([1, 1, 1, 1, 1, 0], np.int32)
    judgement = Judgement(likeness, np.ones(6, np.float32))
    found = give_verdicts(np.ones(6, np.uint8), parts, np.ones(6, bool), judgement, distributions([1]), 0.9)
    assert found.score[[0, 2, 4, 5]].tolist() == [0, 100, 200, NO_SCORE]
    assert found.score[1] < 100 < found.score[3]


def test_keeping_more_makes_more_pixels_reliable_and_never_fewer() -> None:
    random = np.random.default_rng(0)
    judgement = Judgement(
        random.uniform(-0.2, 1, 2000).astype(np.float32), random.uniform(0, 2.5, 2000).astype(np.float32)
    )
    last = np.zeros(2000, bool)
    for keep_share in (0.2, 0.5, 0.9, 1.0):
        found = give_verdicts(
            np.ones(2000, np.uint8), np.ones(2000, np.int32), np.ones(2000, bool), judgement, distributions([1]),
            keep_share,
        )  # fmt: skip
        now = found.verdict == RELIABLE
        assert (now | ~last).all()
        assert now.sum() > last.sum()
        last = now
    assert (judgement.likeness[last] > 0).all()


def test_association_believes_pixels_of_their_clusters_class() -> None:
    found = verdicts_of_association(
        np.array([1, 1, 1, 2, 2, 0, 1], np.uint8),
        np.array([1, 1, 1, 1, 2, 0, 0], np.int32),
        np.array([True, True, True, False, False, False, False]),
        np.array([1, 2], np.uint8),
    )
    assert found.verdict.tolist() == [RELIABLE, RELIABLE, RELIABLE, REJECTED, UNCERTAIN, Verdict.NONE, UNCERTAIN]
    assert found.score.tolist() == [150, 150, 150, 50, 200, NO_SCORE, NO_SCORE]


@pytest.mark.parametrize("pixels", [0, 5])
def test_a_tile_of_which_nothing_is_known_is_uncertain(pixels: int) -> None:
    nothing = Judgement(np.zeros(pixels, np.float32), np.ones(pixels, np.float32))
    found = give_verdicts(
        np.ones(pixels, np.uint8), np.zeros(pixels, np.int32), np.zeros(pixels, bool), nothing, distributions([1]), 0.9
    )
    assert (found.verdict == UNCERTAIN).all()
    assert (found.score == NO_SCORE).all()
