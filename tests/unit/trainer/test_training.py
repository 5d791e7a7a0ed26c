"""Training: it learns, it is the same each time, and an interruption leaves no trace."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.phenologies import phenologies

from landseries.errors import ArtifactError, Refused
from landseries.neural.normalisation import round_to_bfloat16
from landseries.neural.weights import TrainedNetwork, write_weights
from landseries.settings.trainer import TrainSettings
from landseries_trainer.augmentation import Augmentation
from landseries_trainer.batches import Labelled
from landseries_trainer.curve import EpochMetrics, TrainingCurve
from landseries_trainer.samples import TrainingSet
from landseries_trainer.training import EpochTimes, one_cycle, train_network

_FEATURES = ("B03", "B04", "B08", "B11")
_SETTINGS = TrainSettings(hidden=16, epochs=5, batch_size=64, learning_rate=1e-2)


def _samples(count: int, seed: int) -> TrainingSet:
    return TrainingSet(*phenologies(count, seed, dates=12, features=len(_FEATURES), classes=4, spread=0.7))


@pytest.fixture(scope="module")
def sets() -> tuple[TrainingSet, TrainingSet]:
    """Training and validation series."""
    return _samples(600, 1), _samples(200, 2)


def _train(sets: tuple[TrainingSet, TrainingSet], **changes: Any) -> tuple[TrainedNetwork, TrainingCurve]:
    given = {"settings": _SETTINGS, "features": _FEATURES, "seed": 3, **changes}
    return train_network(*sets, given.pop("settings"), **given)


def _bytes(network: TrainedNetwork, folder: Path) -> str:
    write_weights(folder / "weights", {"all": network})
    return hashlib.sha256((folder / "weights").read_bytes()).hexdigest()


def test_it_learns_and_keeps_the_best_epoch(sets: tuple[TrainingSet, TrainingSet]) -> None:
    seen: list[tuple[int, int, EpochMetrics, EpochTimes]] = []
    network, curve = _train(sets, progress=lambda *told: seen.append(told))
    assert curve.epochs[curve.best_epoch].macro_f1 > 0.85
    assert curve.epochs[-1].validation_loss < curve.epochs[0].validation_loss
    assert [(epoch, epochs) for epoch, epochs, *_ in seen] == [(k, 5) for k in range(1, 6)]
    assert network.settings.classes == (1, 2, 3, 4)
    for name, array in network.state.items():
        if name.startswith("lstm.weight"):
            np.testing.assert_array_equal(array, round_to_bfloat16(array))


def test_every_epoch_reads_every_series_once_in_an_order_of_its_own(
    sets: tuple[TrainingSet, TrainingSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[np.ndarray] = []
    channels = Labelled.channels

    def note(self: Labelled, chosen: Any) -> torch.Tensor:
        if isinstance(chosen, np.ndarray):  # validation reads slices
            read.append(chosen)
        return channels(self, chosen)

    monkeypatch.setattr(Labelled, "channels", note)
    _train(sets, settings=_SETTINGS.model_copy(update={"epochs": 2}))
    order = np.concatenate(read)
    first, second = order[:600], order[600:]
    assert max(len(part) for part in read) <= _SETTINGS.batch_size
    for epoch in (first, second):
        assert (np.sort(epoch) == np.arange(600)).all()
        assert np.corrcoef(epoch, np.arange(600))[0, 1] < 0.2, "shuffled over the whole table"
    assert (first != second).any()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_seed_gives_the_same_bytes(
    sets: tuple[TrainingSet, TrainingSet], tmp_path: Path, precision: str
) -> None:
    first, again, other = (_bytes(_train(sets, precision=precision, seed=seed)[0], tmp_path) for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize("stop_after", [1, 3])
def test_an_interrupted_training_ends_with_the_same_bytes(
    sets: tuple[TrainingSet, TrainingSet], tmp_path: Path, stop_after: int
) -> None:
    def interrupt(epoch: int, *_: object) -> None:
        if epoch == stop_after:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        _train(sets, checkpoint=checkpoint, progress=interrupt)
    told: list[int] = []
    resumed, curve = _train(sets, checkpoint=checkpoint, progress=lambda epoch, *_: told.append(epoch))
    whole, expected = _train(sets)
    assert told == list(range(stop_after + 1, 6))
    assert curve == expected
    assert _bytes(resumed, tmp_path) == _bytes(whole, tmp_path)


def test_checkpoints_of_other_trainings_and_torn_ones_are_not_used(
    sets: tuple[TrainingSet, TrainingSet], tmp_path: Path
) -> None:
    checkpoint, expected = tmp_path / "checkpoint", _bytes(_train(sets)[0], tmp_path)
    _train(sets, seed=9, checkpoint=checkpoint)
    foreign = checkpoint.read_bytes()
    assert _bytes(_train(sets, checkpoint=checkpoint)[0], tmp_path) == expected
    for damaged in (foreign, checkpoint.read_bytes()[:-100], b"", b"no checkpoint"):
        checkpoint.write_bytes(damaged)
        assert _bytes(_train(sets, checkpoint=checkpoint)[0], tmp_path) == expected


def test_series_without_weight_teach_nothing(sets: tuple[TrainingSet, TrainingSet]) -> None:
    training, validation = sets
    wrong = (training.labels % 4 + 1).astype(np.uint8)
    both = TrainingSet(
        np.concatenate([training.series, training.series]),
        np.concatenate([training.labels, wrong]),
        np.repeat(np.array([1, 0], np.float32), len(training)),
    )
    _, curve = _train((both, validation))
    assert curve.epochs[curve.best_epoch].macro_f1 > 0.85


def test_training_stops_when_nothing_gets_better() -> None:
    random = np.random.default_rng(0)
    noise = [
        TrainingSet(random.integers(0, 5000, (100, 4, 4)).astype(np.int16), random.integers(1, 3, 100).astype(np.uint8))
        for _ in range(2)
    ]
    settings = TrainSettings(hidden=4, epochs=60, patience=3, batch_size=64)
    _, curve = _train((noise[0], noise[1]), settings=settings)
    assert len(curve.epochs) < 60
    assert len(curve.epochs) == curve.best_epoch + 4


def test_validation_series_of_unknown_classes_are_left_out_and_counted(
    sets: tuple[TrainingSet, TrainingSet],
) -> None:
    training, validation = sets
    known = training.of_classes(np.array([1, 2, 4], np.uint8))
    network, curve = _train((known, validation))
    assert network.settings.classes == (1, 2, 4)
    assert curve.ignored_validation == int((validation.labels == 3).sum()) > 0


def test_what_cannot_be_trained_is_said_why(sets: tuple[TrainingSet, TrainingSet]) -> None:
    training, validation = sets
    one = np.array([1], np.uint8)
    with pytest.raises(Refused, match="at least two classes"):
        _train((training.of_classes(one), validation))
    with pytest.raises(Refused, match="no validation series"):
        _train((training.of_classes(np.array([2, 3], np.uint8)), validation.of_classes(one)))
    with pytest.raises(ArtifactError, match="4 features, 2 are named"):
        _train(sets, features=("B04", "B08"))
    with pytest.raises(ArtifactError, match="validation series"):
        _train((training, TrainingSet(validation.series[:, :6], validation.labels)))


def test_the_learning_rate_rises_once_and_falls_to_nothing() -> None:
    rates = [one_cycle(step, 1000) for step in range(1000)]
    top = int(np.argmax(rates))
    assert rates[0] == pytest.approx(0.1)
    assert (top, rates[top]) == (200, 1.0)
    assert np.all(np.diff(rates[: top + 1]) > 0)
    assert np.all(np.diff(rates[top:]) < 0)
    assert 0 < rates[-1] < 1e-4


def test_dropped_dates_are_missing_and_flagged() -> None:
    import torch

    torch.manual_seed(0)
    channels = torch.ones(200, 24, 5)
    channels[:, :, -1] = 0
    out = Augmentation(date_drop=0.25).apply(channels.clone())
    dropped = out[:, :, -1] == 1
    assert 0.22 < dropped.float().mean() < 0.28
    assert bool((out[..., :-1][dropped] == 0).all())
    assert bool((out[..., :-1][~dropped] == 1).all())
    assert torch.equal(Augmentation(date_drop=0).apply(channels.clone()), channels)


def test_noise_leaves_missing_values_alone() -> None:
    import torch

    torch.manual_seed(0)
    channels = torch.full((500, 4, 3), 2.0)
    channels[:, 1] = torch.tensor([0.0, 0.0, 1.0])
    out = Augmentation(date_drop=0, noise=0.5).apply(channels.clone())
    assert torch.equal(out[:, 1], channels[:, 1])
    assert torch.equal(out[..., -1], channels[..., -1])
    assert 0.45 < float((out[:, 0, :2] - 2).std()) < 0.55


@pytest.mark.parametrize("wrong", [{"date_drop": 1.0}, {"date_drop": -0.1}, {"noise": -1.0}])
def test_augmentation_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Augmentation(**wrong)
