"""Measures of an epoch, against scikit-learn's, and the choice of the best one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss

from landseries_trainer.curve import EpochMetrics, TrainingCurve, measure


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_measures_are_those_of_scikit_learn(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(classes), 40).astype(np.float32)
    targets = random.integers(0, classes, 40)
    found = measure(0.5, np.log(probabilities), targets)
    predicted = probabilities.argmax(axis=1)
    occurring = np.unique(targets)
    expected = f1_score(targets, predicted, average="macro", labels=occurring, zero_division=0)
    assert found.macro_f1 == pytest.approx(expected)
    assert found.accuracy == pytest.approx(accuracy_score(targets, predicted))
    exact = probabilities / probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    assert found.validation_loss == pytest.approx(log_loss(targets, exact, labels=list(range(classes))), rel=1e-4)


def _curve(*scores: tuple[float, float]) -> TrainingCurve:
    return TrainingCurve(tuple(EpochMetrics(1.0, loss, 0.5, f1) for f1, loss in scores))


def test_the_best_epoch_has_the_highest_f1_then_the_lowest_loss_then_comes_first() -> None:
    assert _curve((0.5, 1.0), (0.7, 1.0), (0.6, 0.1)).best_epoch == 1
    assert _curve((0.7, 1.0), (0.7, 0.9), (0.7, 0.95)).best_epoch == 1
    assert _curve((0.7, 1.0), (0.7, 1.0)).best_epoch == 0


def test_a_curve_stalls_after_its_patience() -> None:
    curve = _curve((0.5, 1.0), (0.7, 1.0), (0.6, 1.0), (0.6, 1.0))
    assert curve.has_stalled(2)
    assert not curve.has_stalled(3)
    assert not TrainingCurve().has_stalled(1)
