"""A trained network applied to a tile on a GPU, by cuDNN, with the labels of the blocked kernels of `inference`.

In the precision `bfloat16` matrix products may round their operands to TF32, which holds the stored weights and the
network's input exactly (both are bfloat16 values) and the state with more digits than bfloat16; everything else is
float32. cuDNN's own bfloat16 would round biases and memory as well. Blocks are always of the same size (the last one is
padded), so a pixel's result does not depend on how a tile is cut into calls.

A few blocks are under way at once, each on a stream of its own: while the device computes one, the processor lays out
the next in pinned memory, and the last one's results come back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from landseries.bands import NODATA
from landseries.neural.network import build_network
from landseries.neural.weights import NetworkSettings, TrainedNetwork
from landseries_mapper.inference import Precision, check_series

#: Bytes of states and gates of a block at most, and its pixels at least.
_BLOCK_BYTES: Final = 1 << 30
_FEWEST_PIXELS: Final = 1024
#: Blocks under way: one that is laid out, one that is computed, one whose results come back.
_SLOTS: Final = 3
#: Threads that lay out a block; more do not make memory faster.
_PACKERS: Final = 4

_Labelled = tuple[torch.Tensor, torch.Tensor]


class GpuNetwork:
    """A trained network on a device, with the interface of `inference.MappingNetwork`.

    Args:
        trained: The network.
        device: Where to compute.
        precision: float32, or bfloat16 where operands of matrix products may be rounded as said above.
        block_pixels: Pixels of a block; default what `block_pixels_of` says. Results are the same to the byte for one
            value only.
    """

    def __init__(
        self,
        trained: TrainedNetwork,
        device: torch.device,
        precision: Precision = "float32",
        block_pixels: int | None = None,
    ) -> None:
        self.settings = trained.settings
        self.precision: Precision = precision
        self.block_pixels = block_pixels or block_pixels_of(trained.settings)
        self._device = device
        self._module = build_network(trained).to(device)
        self._mean = torch.from_numpy(trained.mean.copy()).to(device)[:, None]
        self._scale = torch.from_numpy(trained.normalisation.scale).to(device)[:, None]
        self._classes = torch.tensor(trained.settings.classes, dtype=torch.uint8, device=device)
        self._slots: list[_Slot] = []

    @property
    def pixels_at_once(self) -> int:
        """Pixels of a call that keep the device at work while the processor lays out others."""
        return _SLOTS * self.block_pixels

    def predict(self, series: NDArray[np.int16], threads: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Label annual series; arguments, results and errors are those of `MappingNetwork.predict`.

        `threads` lay out blocks for the device, and change nothing else.
        """
        check_series(series, self.settings)
        count = math.prod(series.shape[2:])
        pixels = series.reshape(*series.shape[:2], count)
        labels = np.empty(count, np.uint8)
        probabilities = np.empty((len(self._classes), count), np.float32)
        starts = range(0, count, self.block_pixels)
        for slot in self._slots:
            slot.forget()  # what a call that failed left under way
        while len(self._slots) < min(_SLOTS, len(starts)):
            self._slots.append(_Slot(self._device, series.shape[:2], self.block_pixels, len(self._classes)))
        rounding = torch.backends.cudnn.flags(
            benchmark=False, deterministic=True, allow_tf32=self.precision == "bfloat16"
        )
        with torch.inference_mode(), rounding, ThreadPoolExecutor(max(1, min(threads, _PACKERS))) as packers:
            for number, start in enumerate(starts):
                slot = self._slots[number % _SLOTS]
                slot.hand_out(labels, probabilities)
                slot.lay_out(pixels, start, packers)
                slot.begin(self._predict_block)
            for slot in self._slots:
                slot.hand_out(labels, probabilities)
        shape = series.shape[2:]
        return labels.reshape(shape), probabilities.reshape(len(self._classes), *shape)

    def _predict_block(self, values: torch.Tensor) -> _Labelled:
        """Class ids, (pixels,), and probabilities, (classes, pixels), of (dates, features, pixels)."""
        missing = values == NODATA
        # The operations of `landseries.neural.normalisation.network_input`, in its order.
        standard = ((values.float() - self._mean) * self._scale).masked_fill_(missing, 0).bfloat16().float()
        flag = missing.any(dim=1, keepdim=True).float()
        channels = torch.cat([standard, flag], dim=1).permute(2, 0, 1).contiguous()
        shares = torch.softmax(self._module(channels), dim=1)
        seen = ~missing.flatten(0, 1).all(dim=0)
        return self._classes[shares.argmax(dim=1)] * seen, (shares * seen[:, None]).T.contiguous()


def block_pixels_of(settings: NetworkSettings) -> int:
    """Pixels of a block: enough to fill a GPU, few enough for its memory; 32,768 for 64 units and 24 dates."""
    bytes_each = 5 * 4 * settings.hidden * settings.dates  # a float32 state and four gates at every date
    return max(_FEWEST_PIXELS, 1 << ((_BLOCK_BYTES // bytes_each).bit_length() - 1))


class _Slot:
    """A block on its way to the device and back, in memory that is kept for the next one."""

    def __init__(self, device: torch.device, axes: tuple[int, ...], pixels: int, classes: int) -> None:
        """Make it for series of (dates, features) `axes`."""
        on_gpu = device.type == "cuda"
        self._device = device
        self._values = torch.full((*axes, pixels), NODATA, dtype=torch.int16, pin_memory=on_gpu)
        self._labels = torch.empty(pixels, dtype=torch.uint8, pin_memory=on_gpu)
        self._shares = torch.empty((classes, pixels), dtype=torch.float32, pin_memory=on_gpu)
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]
        self._used = slice(0, 0)  # of the pixels of a call

    def lay_out(self, pixels: NDArray[np.int16], start: int, packers: ThreadPoolExecutor) -> None:
        """Copy up to a block of (dates, features, n) pixels; the device must be done with the last ones."""
        self._used = slice(start, min(start + self._values.shape[2], pixels.shape[2]))
        block = self._values.numpy()[:, :, : self._used.stop - self._used.start]

        def copy(date: int) -> None:
            block[date] = pixels[date, :, self._used]

        list(packers.map(copy, range(len(block))))

    def begin(self, predict: Callable[[torch.Tensor], _Labelled]) -> None:
        """Hand the block to the device, which goes on by itself."""
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._device))  # the weights lie there
        with nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
            labels, shares = predict(self._values.to(self._device, non_blocking=True))
            self._labels.copy_(labels, non_blocking=True)
            self._shares.copy_(shares, non_blocking=True)

    def forget(self) -> None:
        """Wait for the device, and be free for another block."""
        if self._stream is not None:
            self._stream.synchronize()
        self._used = slice(0, 0)

    def hand_out(self, labels: NDArray[np.uint8], shares: NDArray[np.float32]) -> None:
        """Wait for the results of the last block and put them into their places; nothing where there was none."""
        count = self._used.stop - self._used.start
        if count == 0:
            return
        used = self._used
        self.forget()
        labels[used] = self._labels.numpy()[:count]
        shares[:, used] = self._shares.numpy()[:, :count]
