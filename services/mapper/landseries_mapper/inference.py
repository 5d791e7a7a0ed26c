"""A trained network applied to a tile: several times faster than `torch.nn.LSTM`, with the same labels.

A tile is cut into blocks of a fixed number of pixels whose states, gates and memory stay in a core's second-level
cache; on the whole tile at once the same arrays stream from memory at every date. A step is one matrix product for all
four gates, with the state and the date's input stacked under each other, and one fused pass for everything else
(`kernels`). Blocks are independent and always of the same size (the last one is padded), so a pixel's result depends
neither on the number of threads nor on how a tile is cut into calls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from landseries.bands import NODATA
from landseries.errors import ArtifactError
from landseries.neural.weights import NetworkSettings, TrainedNetwork
from landseries.numerics import processor_capability
from landseries_mapper import kernels

Precision = Literal["float32", "bfloat16"]

#: Pixels of a block: the gates of 64 units take 1 MiB in bfloat16. With fewer the calls themselves begin to cost.
BLOCK_PIXELS: Final = 2048


def best_precision() -> Precision:
    """The fastest precision on this processor: bfloat16 where it multiplies matrices of them natively."""
    return "bfloat16" if processor_capability() in ("avx512_bf16", "amx") else "float32"


class MappingNetwork:
    """A trained network, laid out for mapping.

    Args:
        trained: The network.
        precision: Of the matrix products' operands; sums and everything else are float32 in both.
        block_pixels: Pixels of a block; results are the same to the byte for one value only.

    Raises:
        ArtifactError: `block_pixels` is not positive.
    """

    def __init__(
        self, trained: TrainedNetwork, precision: Precision = "float32", block_pixels: int = BLOCK_PIXELS
    ) -> None:
        if block_pixels < 1:
            raise ArtifactError(f"block_pixels must be at least 1, got {block_pixels}")
        self.settings = trained.settings
        self.precision: Precision = precision
        self.block_pixels = block_pixels
        self._mean = trained.mean
        self._scale = trained.normalisation.scale
        self._layers = [_stack_layer(trained, layer, precision) for layer in range(trained.settings.layers)]
        self._head = torch.from_numpy(trained.state["head.weight"].copy())
        self._head_bias = trained.state["head.bias"]
        self._classes = np.array(trained.settings.classes, np.uint8)

    @property
    def pixels_at_once(self) -> int:
        """Pixels of a call that keep one core at work."""
        return self.block_pixels

    def predict(self, series: NDArray[np.int16], threads: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Label annual series.

        Args:
            series: (dates, features, n) or (dates, features, rows, columns) int16, reflectance x 10,000, -32768 where
                missing.
            threads: Blocks that are worked on at a time; the result does not depend on it.

        Returns:
            The class ids, (n,) or (rows, columns) uint8, and the probabilities, (classes, n) or (classes, rows,
            columns) float32, in the order of the settings' classes. A pixel without any value gets 0 in both.

        Raises:
            ArtifactError: The array is of another dtype, or has other dates or features than the network was trained
                on.
        """
        check_series(series, self.settings)
        count = math.prod(series.shape[2:])
        pixels = series.reshape(*series.shape[:2], count)
        labels = np.empty(count, np.uint8)
        probabilities = np.empty((len(self._classes), count), np.float32)
        workers = max(1, min(threads, -(-count // self.block_pixels)))
        free: SimpleQueue[_Workspace] = SimpleQueue()
        for _ in range(workers):
            free.put(_Workspace(self, self.block_pixels))

        def work(start: int) -> None:
            workspace = free.get()
            stop = min(start + self.block_pixels, count)
            self._predict_block(pixels[:, :, start:stop], workspace)
            labels[start:stop] = workspace.labels[: stop - start]
            probabilities[:, start:stop] = workspace.scores[:, : stop - start]
            free.put(workspace)

        with _one_thread_per_operation():
            starts = range(0, count, self.block_pixels)
            if workers == 1:
                for start in starts:
                    work(start)
            else:
                with ThreadPoolExecutor(workers) as pool:
                    list(pool.map(work, starts))
        shape = series.shape[2:]
        return labels.reshape(shape), probabilities.reshape(len(self._classes), *shape)

    def _predict_block(self, series: NDArray[np.int16], space: _Workspace) -> None:
        """Fill the workspace's labels and scores for at most a block of pixels, (dates, features, n)."""
        used = series.shape[2]
        space.reset()
        last_layer, last_date = len(self._layers) - 1, self.settings.dates - 1
        for date in range(self.settings.dates):
            if used < self.block_pixels:
                space.padded[:, :used] = series[date]
                values = space.padded
            else:
                values = series[date]
            kernels.read_date(values, self._mean, self._scale, space.inputs[0], space.seen)
            for number, layer in enumerate(self._layers):
                torch.mm(layer.weight, space.operands[number], out=space.gates)
                # The head reads the very last state, which is therefore kept in float32.
                final = number == last_layer and date == last_date
                state = space.final if final else space.states[number]
                kernels.cell(space.gates_view, layer.bias, space.memories[number], state)
                if number < last_layer:
                    space.inputs[number + 1][:] = state
        torch.mm(self._head, space.final_tensor, out=space.scores_tensor)
        kernels.softmax_and_label(space.scores, self._head_bias, space.seen, self._classes, space.labels)


def check_series(series: NDArray[np.int16], settings: NetworkSettings) -> None:
    """Raise ArtifactError unless the array is (dates, features, ...) int16 as the network reads it."""
    expected = (settings.dates, len(settings.features))
    if series.ndim not in (3, 4) or series.shape[:2] != expected or series.dtype != np.int16:
        raise ArtifactError(
            f"the network reads int16 series of shape {(*expected, 'pixels')} or {(*expected, 'rows', 'columns')} "
            f"(dates, features, ...), got {series.dtype} of shape {series.shape}"
        )


class _Layer:
    """One layer's weights: (4 hidden, hidden + inputs), columns for the own state first, and the bias (4 hidden,)."""

    def __init__(self, weight: torch.Tensor, bias: NDArray[np.float32]) -> None:
        self.weight = weight
        self.bias = bias


class _Workspace:
    """The arrays of one block; a thread that works on a block has one to itself."""

    def __init__(self, network: MappingNetwork, pixels: int) -> None:
        settings = network.settings
        dtype = torch.bfloat16 if network.precision == "bfloat16" else torch.float32
        self.gates = torch.zeros(4 * settings.hidden, pixels, dtype=dtype)
        self.gates_view = _array_of(self.gates)
        self.operands = [torch.zeros(layer.weight.shape[1], pixels, dtype=dtype) for layer in network._layers]
        views = [_array_of(operand) for operand in self.operands]
        self.states = [view[: settings.hidden] for view in views]
        self.inputs = [view[settings.hidden :] for view in views]
        self.memories = [np.zeros((settings.hidden, pixels), np.float32) for _ in network._layers]
        self.final = np.zeros((settings.hidden, pixels), np.float32)
        self.final_tensor = torch.from_numpy(self.final)
        self.seen = np.zeros(pixels, np.uint8)
        self.labels = np.zeros(pixels, np.uint8)
        self.scores = np.zeros((len(settings.classes), pixels), np.float32)
        self.scores_tensor = torch.from_numpy(self.scores)
        self.padded = np.full((len(settings.features), pixels), NODATA, np.int16)

    def reset(self) -> None:
        """Before the first date: no state, no memory, nothing seen."""
        for array in (*self.states, *self.memories, self.seen):
            array.fill(0)
        self.padded.fill(NODATA)


def _array_of(tensor: torch.Tensor) -> NDArray[np.float32] | NDArray[np.uint16]:
    """The tensor's memory as an array; bfloat16 as its 16 bits."""
    array: NDArray[np.float32] | NDArray[np.uint16]
    array = (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def _stack_layer(trained: TrainedNetwork, layer: int, precision: Precision) -> _Layer:
    """Stack the weights for one matrix product a step, and halve the gates that are read by a sigmoid (i, f, o)."""
    state, hidden = trained.state, trained.settings.hidden
    weight = np.concatenate([state[f"lstm.weight_hh_l{layer}"], state[f"lstm.weight_ih_l{layer}"]], axis=1)
    bias = state[f"lstm.bias_ih_l{layer}"] + state[f"lstm.bias_hh_l{layer}"]
    halves = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), hidden)
    tensor = torch.from_numpy(weight * halves[:, None])
    return _Layer(tensor.to(torch.bfloat16) if precision == "bfloat16" else tensor, bias * halves)


@contextmanager
def _one_thread_per_operation() -> Iterator[None]:
    """Blocks are the unit of parallel work: no operation inside one is split further."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
