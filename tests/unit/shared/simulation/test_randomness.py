"""Streams by purpose, and fields of known mean, variance and width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseries.simulation.randomness import fractal_field, generator, rank, smooth_field


def test_a_stream_depends_on_its_purpose_alone() -> None:
    first = generator(3, "clouds", 2018).random(5)
    generator(3, "clouds", 2017).random(100)
    assert (generator(3, "clouds", 2018).random(5) == first).all()
    others = [generator(4, "clouds", 2018), generator(3, "clouds", "2018"), generator(3, "snow", 2018)]
    assert all((other.random(5) != first).all() for other in others)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError):
        generator(-1, "clouds")


@pytest.mark.parametrize("scale", [1.0, 2.5, 8.0])
def test_smooth_fields_have_zero_mean_and_unit_variance(scale: float) -> None:
    fields = np.stack([smooth_field(generator(seed, "field"), (60, 80), scale) for seed in range(40)])
    assert fields.shape == (40, 60, 80)
    assert fields.dtype == np.float32
    assert abs(float(fields.mean())) < 0.05
    assert abs(float(fields.std()) - 1) < 0.05


def test_a_wider_field_is_smoother() -> None:
    steps = [
        float(np.abs(np.diff(smooth_field(generator(1, "field"), (200, 200), scale))).mean()) for scale in (2, 6, 18)
    ]
    assert steps[0] > 2 * steps[1] > 4 * steps[2]


def test_fractal_fields_keep_unit_variance() -> None:
    fields = np.stack([fractal_field(generator(seed, "field"), (80, 80), 12.0) for seed in range(40)])
    assert abs(float(fields.std()) - 1) < 0.1


@given(st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=40))
def test_rank_keeps_order_and_gives_every_share_once(values: list[float]) -> None:
    field = np.array([values], np.float32)
    ranks = rank(field)[0]
    assert np.allclose(np.sort(ranks), np.linspace(0, 1, len(values)))
    order = np.argsort(ranks)
    assert (np.diff(field[0][order]) >= 0).all()
