"""Blocked inference against PyTorch's own LSTM, whatever the threads and the cuts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.phenologies import phenologies

from landseries.bands import NODATA
from landseries.errors import ArtifactError
from landseries.neural.network import SeriesClassifier, build_network
from landseries.neural.normalisation import measure_normalisation, network_input
from landseries.neural.weights import NetworkSettings, TrainedNetwork
from landseries_mapper import kernels
from landseries_mapper.inference import MappingNetwork, Precision, best_precision

_DATES, _FEATURES = 12, 4


def _network(layers: int = 1, hidden: int = 16) -> TrainedNetwork:
    """Weights at random, but large enough for the gates to saturate now and then."""
    torch.manual_seed(layers)
    names = ("B03", "B04", "B08", "B11")
    settings = NetworkSettings(features=names, dates=_DATES, hidden=hidden, layers=layers, classes=(1, 4, 9))
    module = SeriesClassifier(settings)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(3).copy_(parameter.to(torch.bfloat16))
    return module.to_trained(measure_normalisation(_series(300).transpose(2, 0, 1)))


def _series(pixels: int, seed: int = 5) -> np.ndarray:
    """(dates, features, pixels)."""
    series, _ = phenologies(pixels, seed, dates=_DATES, features=_FEATURES, classes=3)
    return np.ascontiguousarray(series.transpose(1, 2, 0))


def _of_pytorch(network: TrainedNetwork, series: np.ndarray) -> np.ndarray:
    channels = network_input(np.ascontiguousarray(series.transpose(2, 0, 1)), network.normalisation)
    with torch.inference_mode():
        return torch.softmax(build_network(network)(torch.from_numpy(channels)), dim=1).numpy().T


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 2e-5), ("bfloat16", 0.05)])
def test_probabilities_are_those_of_pytorch(layers: int, precision: Precision, tolerance: float) -> None:
    network, series = _network(layers), _series(700)
    labels, probabilities = MappingNetwork(network, precision, block_pixels=256).predict(series)
    expected = _of_pytorch(network, series)
    np.testing.assert_allclose(probabilities, expected, atol=tolerance)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(labels, np.array([1, 4, 9])[probabilities.argmax(axis=0)])
    assert (labels != np.array([1, 4, 9])[expected.argmax(axis=0)]).mean() <= (0.02 if tolerance > 0.01 else 0)
    assert len(np.unique(labels)) > 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_threads_and_cuts_change_no_byte(precision: Precision) -> None:
    network, series = MappingNetwork(_network(), precision, block_pixels=64), _series(333)
    labels, probabilities = network.predict(series)
    for threads in (2, 5):
        again = network.predict(series, threads=threads)
        assert again[0].tobytes() == labels.tobytes()
        assert again[1].tobytes() == probabilities.tobytes()
    for cut in (1, 17, 64, 200):
        parts = [network.predict(series[:, :, start : start + cut]) for start in range(0, 333, cut)]
        assert np.concatenate([part[0] for part in parts]).tobytes() == labels.tobytes()
        assert np.concatenate([part[1] for part in parts], axis=1).tobytes() == probabilities.tobytes()


def test_a_raster_keeps_its_shape() -> None:
    network, series = MappingNetwork(_network()), _series(60)
    flat, flat_probabilities = network.predict(series)
    labels, probabilities = network.predict(series.reshape(_DATES, _FEATURES, 5, 12))
    np.testing.assert_array_equal(labels, flat.reshape(5, 12))
    np.testing.assert_array_equal(probabilities, flat_probabilities.reshape(3, 5, 12))
    empty, _ = network.predict(series[:, :, :0])
    assert empty.shape == (0,)


def test_a_pixel_without_any_value_gets_no_class() -> None:
    series = _series(10)
    series[:, :, 3] = NODATA
    series[1:, :, 4] = NODATA
    series[0, :, 4] = [NODATA, 900, NODATA, NODATA]
    labels, probabilities = MappingNetwork(_network()).predict(series)
    assert labels[3] == 0
    assert not probabilities[:, 3].any()
    assert (np.delete(labels, 3) != 0).all()


def test_series_that_the_network_was_not_trained_on_are_refused() -> None:
    network, series = MappingNetwork(_network()), _series(8)
    for wrong in (series[:6], series[:, :3], series.astype(np.float32), series[0]):
        with pytest.raises(ArtifactError, match=r"\(12, 4, 'pixels'\)"):
            network.predict(wrong)
    with pytest.raises(ArtifactError, match="block_pixels"):
        MappingNetwork(_network(), block_pixels=0)


def test_pytorch_keeps_its_number_of_threads() -> None:
    before = torch.get_num_threads()
    MappingNetwork(_network()).predict(_series(8), threads=2)
    assert torch.get_num_threads() == before


def test_the_tangent_is_within_its_bound() -> None:
    values = np.concatenate([np.linspace(-20, 20, 400_001), [-1e30, 1e30, 0.0, -0.0]]).astype(np.float32)
    found = np.empty_like(values)
    kernels.tanh(values, found)
    assert np.abs(found - np.tanh(values.astype(np.float64))).max() < 3e-6
    opposite = np.empty_like(values)
    kernels.tanh(-values, opposite)
    np.testing.assert_array_equal(opposite, -found)


@given(hnp.arrays(np.int16, (_DATES, _FEATURES, 7), elements=st.one_of(st.just(NODATA), st.integers(-3000, 16000))))
def test_a_date_is_read_as_in_training(series: np.ndarray) -> None:
    network = _NETWORK
    expected = network_input(np.ascontiguousarray(series.transpose(2, 0, 1)), network.normalisation)
    wide = np.empty((_FEATURES + 1, 7), np.float32)
    narrow = np.empty((_FEATURES + 1, 7), np.uint16)
    for date in range(_DATES):
        seen = np.zeros(7, np.uint8)
        kernels.read_date(series[date], network.mean, network.normalisation.scale, wide, seen)
        kernels.read_date(series[date], network.mean, network.normalisation.scale, narrow, seen)
        np.testing.assert_array_equal(wide, expected[:, date].T)
        np.testing.assert_array_equal((narrow.astype(np.uint32) << 16).view(np.float32), wide)
        np.testing.assert_array_equal(seen, (series[date] != NODATA).any(axis=0))


def test_the_precision_is_one_of_the_two() -> None:
    assert best_precision() in ("float32", "bfloat16")


_NETWORK = _network()
