"""What the processes of a group do of a batch adds up to what one process does, whatever the number of processes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.phenologies import phenologies

from landseries.errors import LandseriesError
from landseries.groups import Membership, membership
from landseries.neural.network import SeriesClassifier
from landseries.neural.normalisation import measure_normalisation
from landseries.neural.weights import NetworkSettings
from landseries_trainer.augmentation import Augmentation
from landseries_trainer.batches import Batch, Batches, Labelled
from landseries_trainer.forward import Precision, TrainedForward
from landseries_trainer.group import ALONE, Group, part_of
from landseries_trainer.samples import TrainingSet

CLASSES = np.array([1, 2, 3, 4], np.uint8)


@pytest.fixture(autouse=True)
def _own_random_numbers() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


def _labelled(count: int) -> Labelled:
    series, labels = phenologies(count, 1, dates=6, features=3, classes=4)
    weights = np.random.default_rng(2).uniform(0, 2, count).astype(np.float32)
    return Labelled(TrainingSet(series, labels, weights), CLASSES, measure_normalisation(series))


@given(count=st.integers(0, 1000), parts=st.integers(1, 70))
def test_parts_are_nearly_equal_and_follow_one_another(count: int, parts: int) -> None:
    slices = [part_of(count, parts, number) for number in range(parts)]
    assert [slices[0].start, slices[-1].stop] == [0, count]
    assert all(a.stop == b.start for a, b in itertools.pairwise(slices))
    sizes = {part.stop - part.start for part in slices}
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("count", "batches", "size"), [(50, 3, 2), (41, 4, 3), (5, 2, 4)])
def test_every_series_of_a_batch_counts_once(count: int, batches: int, size: int) -> None:
    data, order = _labelled(count), np.random.default_rng(0).permutation(count)
    whole = [one for (one,) in Batches(data, order, batches, ALONE)]
    parts = [[one for (one,) in Batches(data, order, batches, Group(rank, size, parts=size))] for rank in range(size)]
    assert sum(batch.size for batch in whole) == count
    for number, batch in enumerate(whole):
        own = [part[number] for part in parts]
        counted = [part for part in own if part.weights.sum() > 0]
        assert torch.equal(torch.cat([part.channels for part in counted]), batch.channels)
        assert torch.equal(torch.cat([part.targets for part in counted]), batch.targets)
        assert torch.equal(torch.cat([part.weights for part in counted]), batch.weights)
        assert {float(part.weight) for part in own} == {float(batch.weight)}
        assert all(len(part.channels) > 0 for part in own), "every process takes every step"


def _gradient(
    network: SeriesClassifier, batch: Batch, precision: Precision, dropout: float
) -> tuple[float, torch.Tensor]:
    torch.manual_seed(7)
    forward = TrainedForward(network, dropout, precision)
    network.zero_grad()
    channels = Augmentation(date_drop=0.3, noise=0.1).apply(batch.channels.clone(), batch.size, batch.own)
    scores = forward(channels, forward.draw(batch.size, batch.own, channels.shape[1]))
    losses = torch.nn.functional.cross_entropy(scores, batch.targets, reduction="none")
    loss = (losses * batch.weights).sum() / batch.weight
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in network.parameters()]
    return float(loss.detach()), torch.cat([one.flatten() for one in gradients if one is not None])


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("size", [2, 3, 50])
def test_gradients_of_the_parts_add_up_to_the_gradient_of_the_batch(layers: int, size: int) -> None:
    settings = NetworkSettings(features=("a", "b", "c"), dates=6, hidden=8, layers=layers, classes=(1, 2, 3, 4))
    torch.manual_seed(1)
    network = SeriesClassifier(settings)
    data, order = _labelled(41), np.random.default_rng(0).permutation(41)
    ((batch,),) = Batches(data, order, 1, ALONE)
    loss, whole = _gradient(network, batch, "float32", 0.25)
    (parts,) = Batches(data, order, 1, Group(parts=size))
    found = [_gradient(network, part, "float32", 0.25) for part in parts]
    assert sum(part for part, _ in found) == pytest.approx(loss, rel=1e-6)
    torch.testing.assert_close(sum(part for _, part in found), whole, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_is_that_of_the_network_itself(layers: int, precision: Precision) -> None:
    settings = NetworkSettings(features=("a", "b", "c"), dates=6, hidden=8, layers=layers, classes=(1, 2, 3, 4))
    torch.manual_seed(1)
    network = SeriesClassifier(settings, dropout=0.3)
    forward = TrainedForward(network, 0.3, precision)
    channels = _labelled(20).channels(slice(None))
    torch.manual_seed(5)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        expected = network(channels)
    torch.manual_seed(5)
    assert torch.equal(forward(channels, forward.draw(20, slice(0, 20), 6)), expected.float())


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "4"}, None),
        ({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, Membership(1, 2)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, Membership(3, 4)),
    ],
)
def test_the_environment_says_which_group_a_process_belongs_to(
    environment: dict[str, str], expected: Membership | None
) -> None:
    assert membership(environment) == expected


@pytest.mark.parametrize(
    "wrong", [{"RANK": "2"}, {"RANK": "-1"}, {"WORLD_SIZE": "two"}, {"MASTER_PORT": None}], ids=str
)
def test_an_environment_that_contradicts_itself_is_an_error(wrong: dict[str, str | None]) -> None:
    given = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"} | wrong
    with pytest.raises(LandseriesError, match="describe no group: start with torchrun"):
        membership({name: value for name, value in given.items() if value is not None})
