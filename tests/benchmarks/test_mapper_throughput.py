"""Mapping a 512 x 512 tile against `torch.nn.LSTM` and onnxruntime, with trained weights, in one run.

    pytest tests/benchmarks/test_mapper_throughput.py --benchmark-columns=min,median,rounds

All get the same int16 series; the others get them already standardised, which ours does within its time. Rounds of all
are spread over the same minutes, and each side is given its best one, the one that another load on the machine
disturbed least. onnxruntime is given whichever suits it better, the whole tile or parts of it. All use the same number
of threads.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.phenologies import phenologies

from landseries.neural.network import SeriesClassifier, build_network
from landseries.neural.normalisation import network_input
from landseries.neural.weights import TrainedNetwork
from landseries.settings.trainer import TrainSettings
from landseries_mapper.inference import MappingNetwork, best_precision
from landseries_trainer.samples import TrainingSet
from landseries_trainer.training import train_network

SIDE: Final = 512
PIXELS: Final = SIDE * SIDE
ROUNDS: Final = 3
#: Rounds of ours between two of the others, so that both sides get about the same time to find a quiet moment.
OUR_ROUNDS: Final = 5
ONNX_PART: Final = 4096
FEATURES: Final = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
#: Series of one class differ so much that a tenth is labelled wrongly: as hard for the labels as real series are.
SPREAD: Final = 2.2


@dataclass(frozen=True)
class Case:
    """A trained network and a tile, as each side wants them.

    Attributes:
        trained: hidden 64, one layer.
        module: the same for PyTorch.
        tile: (dates, features, rows, columns) int16.
        truth: (pixels,) class ids.
        channels: (pixels, dates, features + 1) float32, standardised.
    """

    trained: TrainedNetwork
    module: SeriesClassifier
    tile: NDArray[np.int16]
    truth: NDArray[np.uint8]
    channels: torch.Tensor

    def labels(self, scores: torch.Tensor) -> NDArray[np.uint8]:
        """Class ids from (pixels, classes) scores."""
        return np.array(self.trained.settings.classes, np.uint8)[scores.argmax(dim=1).numpy()]


@pytest.fixture(scope="module")
def case() -> Case:
    """Train for some seconds, and make a tile that the network has not seen."""
    sets = [TrainingSet(*phenologies(count, seed, spread=SPREAD)) for count, seed in ((8000, 1), (2000, 2))]
    settings = TrainSettings(epochs=8, batch_size=256, learning_rate=1e-2)
    trained, curve = train_network(sets[0], sets[1], settings, features=FEATURES, seed=1, precision=best_precision())
    assert curve.epochs[curve.best_epoch].accuracy > 0.8
    series, truth = phenologies(PIXELS, 3, spread=SPREAD)
    tile = np.ascontiguousarray(series.transpose(1, 2, 0)).reshape(*series.shape[1:], SIDE, SIDE)
    return Case(
        trained, build_network(trained), tile, truth, torch.from_numpy(network_input(series, trained.normalisation))
    )


@pytest.fixture
def threads() -> int:
    """All cores that this process may use, for everybody."""
    return len(os.sched_getaffinity(0))


@pytest.fixture
def whole_tile(case: Case, threads: int) -> Callable[[], torch.Tensor]:
    """`torch.nn.LSTM` and its head on the whole tile at once, in float32."""

    def run() -> torch.Tensor:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return case.module(case.channels)

    return run


def side_by_side(benchmark: Any, ours: Callable[[], Any], *others: Callable[[], Any]) -> tuple[float, list[float]]:
    """Pixels a second, in the best round, of ours (which the benchmark records) and of the others; rounds alternate."""
    seconds: list[list[float]] = [[] for _ in others]

    numbers = itertools.count()

    def their_round() -> None:
        if next(numbers) % OUR_ROUNDS:
            return
        for run, taken in zip(others, seconds, strict=True):
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)

    benchmark.pedantic(ours, setup=their_round, rounds=ROUNDS * OUR_ROUNDS)
    return PIXELS / benchmark.stats.stats.min, [PIXELS / min(taken) for taken in seconds]


def report(benchmark: Any, capsys: pytest.CaptureFixture[str], text: str, **figures: float) -> None:
    benchmark.extra_info.update({name: round(value, 6) for name, value in figures.items()})
    with capsys.disabled():
        print(f"\nmapping: {text}")


def test_against_the_whole_tile_at_once(
    benchmark: Any, case: Case, threads: int, whole_tile: Callable[[], torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    """At least five times the throughput, and at most one label in a thousand otherwise."""
    network = MappingNetwork(case.trained, best_precision())
    labels = network.predict(case.tile, threads)[0].ravel()
    expected = case.labels(whole_tile())
    differing = float((labels != expected).mean())
    accuracy, reference = float((labels == case.truth).mean()), float((expected == case.truth).mean())
    ours, (theirs,) = side_by_side(benchmark, lambda: network.predict(case.tile, threads), whole_tile)
    report(
        benchmark,
        capsys,
        f"{network.precision} {ours:,.0f} pixels/s, torch.nn.LSTM on the whole tile {theirs:,.0f}, ratio "
        f"{ours / theirs:.2f}; labels differing {differing:.4%}, accuracy {accuracy:.4f} and {reference:.4f}",
        pixels_per_s=ours,
        reference_pixels_per_s=theirs,
        ratio=ours / theirs,
        differing=differing,
    )
    assert differing <= 0.001
    assert ours >= 5 * theirs


def test_against_onnxruntime(benchmark: Any, case: Case, threads: int, capsys: pytest.CaptureFixture[str]) -> None:
    """At least 1.3 times the throughput; twice where the processor has a bfloat16 matrix unit."""
    run_onnx = onnx_runner(case, threads)
    series = np.ascontiguousarray(case.channels.numpy().transpose(1, 0, 2))
    parts = [np.ascontiguousarray(part) for part in np.split(series, range(ONNX_PART, PIXELS, ONNX_PART), axis=1)]
    network = MappingNetwork(case.trained, best_precision())
    labels = network.predict(case.tile, threads)[0].ravel()
    scores = np.concatenate([run_onnx(part) for part in parts])
    assert (case.labels(torch.from_numpy(scores)) != labels).mean() <= 0.001
    ours, (whole, in_parts) = side_by_side(
        benchmark,
        lambda: network.predict(case.tile, threads),
        lambda: run_onnx(series),
        lambda: [run_onnx(part) for part in parts],
    )
    theirs = max(whole, in_parts)
    report(
        benchmark,
        capsys,
        f"{network.precision} {ours:,.0f} pixels/s, onnxruntime {whole:,.0f} on the whole tile, {in_parts:,.0f} on "
        f"{ONNX_PART} pixels at a time, ratio {ours / theirs:.2f}",
        pixels_per_s=ours,
        reference_pixels_per_s=theirs,
        ratio=ours / theirs,
    )
    assert ours >= (2.0 if has_matrix_unit() else 1.3) * theirs


def test_float32_against_the_whole_tile(
    benchmark: Any, case: Case, threads: int, whole_tile: Callable[[], torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without bfloat16 the labels are PyTorch's; the throughput is printed, and higher."""
    network = MappingNetwork(case.trained, "float32")
    differing = float((network.predict(case.tile, threads)[0].ravel() != case.labels(whole_tile())).mean())
    ours, (theirs,) = side_by_side(benchmark, lambda: network.predict(case.tile, threads), whole_tile)
    report(
        benchmark,
        capsys,
        f"float32 {ours:,.0f} pixels/s, torch.nn.LSTM on the whole tile {theirs:,.0f}, ratio {ours / theirs:.2f}; "
        f"labels differing {differing:.4%}",
        pixels_per_s=ours,
        reference_pixels_per_s=theirs,
        ratio=ours / theirs,
        differing=differing,
    )
    assert differing <= 0.00002
    assert ours > theirs


def has_matrix_unit() -> bool:
    """Whether the processor multiplies bfloat16 matrices in a unit of its own."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return "amx_bf16" in file.read()
    except OSError:
        return False


def onnx_runner(case: Case, threads: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The network in onnxruntime: (dates, pixels, channels) float32 to (pixels, classes) scores."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    state, settings = case.trained.state, case.trained.settings
    hidden = settings.hidden

    def gates(array: NDArray[np.float32]) -> NDArray[np.float32]:
        i, f, g, o = np.split(array, 4)
        return np.concatenate([i, o, f, g])[None]  # ONNX keeps its gates in the order input, output, forget, cell

    bias = np.concatenate([gates(state["lstm.bias_ih_l0"]), gates(state["lstm.bias_hh_l0"])], axis=1)
    constants = {
        "w": gates(state["lstm.weight_ih_l0"]),
        "r": gates(state["lstm.weight_hh_l0"]),
        "b": bias,
        "head": np.ascontiguousarray(state["head.weight"].T),
        "head_bias": state["head.bias"],
        "axis": np.array([0], np.int64),
    }
    make, real = onnx.helper, onnx.TensorProto.FLOAT
    graph = make.make_graph(
        [
            make.make_node("LSTM", ["x", "w", "r", "b"], ["", "last"], hidden_size=hidden),
            make.make_node("Squeeze", ["last", "axis"], ["state"]),
            make.make_node("Gemm", ["state", "head", "head_bias"], ["scores"]),
        ],
        "network",
        [make.make_tensor_value_info("x", real, [settings.dates, "pixels", settings.channels])],
        [make.make_tensor_value_info("scores", real, ["pixels", len(settings.classes)])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(series: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {"x": series})[0])

    return run
