"""The module behind the stored weights."""

from __future__ import annotations

import numpy as np
import torch

from landseries.neural.network import SeriesClassifier, build_network
from landseries.neural.normalisation import Normalisation
from landseries.neural.weights import NetworkSettings

_SETTINGS = NetworkSettings(features=("B04", "B08"), dates=6, hidden=8, layers=2, classes=(1, 2, 7))


def test_stored_weights_have_the_names_and_shapes_of_the_module() -> None:
    network = SeriesClassifier(_SETTINGS)
    assert {name: array.shape for name, array in network.state_arrays().items()} == _SETTINGS.state_shapes()


def test_a_network_that_was_stored_answers_as_before() -> None:
    network = SeriesClassifier(_SETTINGS, dropout=0.5).eval()
    stored = network.to_trained(Normalisation(np.zeros(2, np.float32), np.ones(2, np.float32)))
    channels = torch.randn(9, 6, 3)
    with torch.inference_mode():
        assert torch.equal(build_network(stored)(channels), network(channels))


def test_forget_gates_start_open() -> None:
    torch.manual_seed(0)
    network = SeriesClassifier(_SETTINGS)
    for layer in range(2):
        bias = network.lstm.get_parameter(f"bias_ih_l{layer}").detach().reshape(4, 8)
        assert bias[1].min() > 0.5
        assert bias[[0, 2, 3]].abs().max() < 0.5
