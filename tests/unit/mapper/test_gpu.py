"""The mapper for GPUs: against the blocked kernels on the processor, and on a GPU where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.phenologies import phenologies

from landseries.bands import NODATA
from landseries.errors import ArtifactError, LandseriesError
from landseries.neural.devices import device_of, local_rank
from landseries.neural.network import SeriesClassifier
from landseries.neural.normalisation import measure_normalisation
from landseries.neural.weights import NetworkSettings, TrainedNetwork
from landseries_mapper.gpu import GpuNetwork, block_pixels_of
from landseries_mapper.inference import MappingNetwork, Precision

CPU = torch.device("cpu")
NAMES = ("B03", "B04", "B08", "B11")


def _series(pixels: int) -> np.ndarray:
    series, _ = phenologies(pixels, 5, dates=12, features=len(NAMES), classes=3)
    return np.ascontiguousarray(series.transpose(1, 2, 0))


def _network(layers: int = 1) -> TrainedNetwork:
    torch.manual_seed(layers)
    module = SeriesClassifier(NetworkSettings(features=NAMES, dates=12, hidden=16, layers=layers, classes=(1, 4, 9)))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(3).copy_(parameter.to(torch.bfloat16))
    return module.to_trained(measure_normalisation(_series(300).transpose(2, 0, 1)))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_labels_and_probabilities_are_those_of_the_kernels(layers: int, device: str, precision: Precision) -> None:
    network, series = _network(layers), _series(5000)
    series[:, :, 17] = NODATA
    labels, probabilities = MappingNetwork(network).predict(series)
    found, shares = GpuNetwork(network, torch.device(device), precision, block_pixels=1024).predict(series)
    tolerance = 2e-5 if precision == "float32" or device == "cpu" else 5e-3
    np.testing.assert_allclose(shares, probabilities, atol=tolerance)
    assert (found != labels).mean() <= 0.001
    assert found[17] == 0
    assert (shares[:, 17] == 0).all()


def test_cuts_change_no_byte_and_a_raster_keeps_its_shape() -> None:
    network, series = GpuNetwork(_network(), CPU, block_pixels=64), _series(300)
    labels, probabilities = network.predict(series)
    parts = [network.predict(series[:, :, start : start + 100]) for start in range(0, 300, 100)]
    assert np.concatenate([part[0] for part in parts]).tobytes() == labels.tobytes()
    assert np.concatenate([part[1] for part in parts], axis=1).tobytes() == probabilities.tobytes()
    raster = network.predict(series.reshape(12, len(NAMES), 15, 20))
    assert raster[0].tobytes() == labels.tobytes()
    assert raster[1].shape == (3, 15, 20)


@pytest.mark.parametrize("pixels", [1, 63, 64, 65, 128, 192, 193, 1000])
@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_under_way_at_once_are_put_into_their_places(pixels: int, threads: int) -> None:
    trained = _network()
    network, series = GpuNetwork(trained, CPU, block_pixels=64), _series(1000)
    series[:, :, ::7] = NODATA
    labels, probabilities = MappingNetwork(trained).predict(series[:, :, :pixels])
    for _ in range(2):  # and again in the same memory
        found, shares = network.predict(series[:, :, :pixels], threads)
        assert (found == labels).mean() >= 0.99
        np.testing.assert_allclose(shares, probabilities, atol=2e-5)
        assert (found[::7] == 0).all()


@pytest.mark.parametrize(("hidden", "dates", "pixels"), [(64, 24, 32_768), (64, 73, 8_192), (1024, 24, 2_048)])
def test_a_block_fits_into_the_memory_of_a_gpu_whatever_the_network(hidden: int, dates: int, pixels: int) -> None:
    settings = NetworkSettings(features=NAMES, dates=dates, hidden=hidden, layers=1, classes=(1, 4))
    assert block_pixels_of(settings) == pixels


def test_a_call_that_failed_leaves_nothing_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    network, series = GpuNetwork(_network(), CPU, block_pixels=64), _series(300)
    expected = network.predict(series[:, :, 100:])
    predict, calls = network._predict_block, iter(range(9))

    def fail_at_the_third(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if next(calls) == 2:
            raise RuntimeError("out of memory")
        return predict(values)

    with monkeypatch.context() as broken:
        broken.setattr(network, "_predict_block", fail_at_the_third)
        with pytest.raises(RuntimeError):
            network.predict(series)
    found = network.predict(series[:, :, 100:])
    assert found[0].tobytes() == expected[0].tobytes()
    assert found[1].tobytes() == expected[1].tobytes()


def test_series_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ArtifactError, match=r"int16 series of shape \(12, 4, 'pixels'\)"):
        GpuNetwork(_network(), CPU).predict(_series(10)[:5])


@pytest.mark.parametrize(
    ("environment", "rank"),
    [({}, 0), ({"LOCAL_RANK": "3", "SLURM_LOCALID": "1"}, 3), ({"SLURM_LOCALID": "2"}, 2), ({"LOCAL_RANK": "x"}, 0)],
)
def test_processes_of_a_machine_take_devices_in_turn(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], rank: int
) -> None:
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert local_rank() == rank
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of("cuda") == torch.device("cuda", rank % 2)
    assert device_of("cpu") == CPU


def test_a_gpu_that_cannot_compute_with_bfloat16_is_refused_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    assert device_of("cuda", "float32").type == "cuda"
    with pytest.raises(LandseriesError, match=r"Tesla V100 has none.*precision: float32"):
        device_of("cuda", "bfloat16")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert device_of("cuda", "bfloat16").type == "cuda"


def test_a_missing_gpu_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LandseriesError, match=r"numerics.device: cuda.*check the driver"):
        device_of("cuda")
