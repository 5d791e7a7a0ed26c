"""A trained network applied to a tile on a GPU, by cuDNN, with the labels of the blocked kernels of `inference`.

In the precision `bfloat16` matrix products may round their operands to TF32, which holds the stored weights and the
network's input exactly (both are bfloat16 values) and the state with more digits than bfloat16; everything else is
float32. cuDNN's own bfloat16 would round biases and memory as well. Blocks are always of the same size (the last one is
padded), so a pixel's result does not depend on how a tile is cut into calls.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from landseries.bands import NODATA
from landseries.neural.network import build_network
from landseries.neural.weights import TrainedNetwork
from landseries_mapper.inference import Precision, check_series

#: Pixels of a block: enough to fill a GPU, and 1 GiB of states and gates at most in a network of 64 units.
BLOCK_PIXELS: Final = 32_768


class GpuNetwork:
    """A trained network on a device, with the interface of `inference.MappingNetwork`.

    Args:
        trained: The network.
        device: Where to compute.
        precision: float32, or bfloat16 where operands of matrix products may be rounded as said above.
        block_pixels: Pixels of a block; results are the same to the byte for one value only.
    """

    def __init__(
        self,
        trained: TrainedNetwork,
        device: torch.device,
        precision: Precision = "float32",
        block_pixels: int = BLOCK_PIXELS,
    ) -> None:
        self.settings = trained.settings
        self.precision: Precision = precision
        self.block_pixels = block_pixels
        self._device = device
        self._module = build_network(trained).to(device)
        self._mean = torch.from_numpy(trained.mean.copy()).to(device)[:, None]
        self._scale = torch.from_numpy(trained.normalisation.scale).to(device)[:, None]
        self._classes = torch.tensor(trained.settings.classes, dtype=torch.uint8, device=device)

    def predict(self, series: NDArray[np.int16], threads: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Label annual series; arguments, results and errors are those of `MappingNetwork.predict`.

        `threads` changes nothing: the processor only hands data on.
        """
        check_series(series, self.settings)
        count = math.prod(series.shape[2:])
        pixels = series.reshape(*series.shape[:2], count)
        labels = np.empty(count, np.uint8)
        probabilities = np.empty((len(self._classes), count), np.float32)
        block = torch.full((*series.shape[:2], self.block_pixels), NODATA, dtype=torch.int16)
        if self._device.type == "cuda":
            block = block.pin_memory()
        rounding = torch.backends.cudnn.flags(
            benchmark=False, deterministic=True, allow_tf32=self.precision == "bfloat16"
        )
        with torch.inference_mode(), rounding:
            for start in range(0, count, self.block_pixels):
                used = min(self.block_pixels, count - start)
                block.numpy()[:, :, :used] = pixels[:, :, start : start + used]
                found, shares = self._predict_block(block.to(self._device, non_blocking=True))
                # Copies to the processor wait for the device, so that the block may be filled again.
                labels[start : start + used] = found[:used].cpu().numpy()
                probabilities[:, start : start + used] = shares[:, :used].cpu().numpy()
        shape = series.shape[2:]
        return labels.reshape(shape), probabilities.reshape(len(self._classes), *shape)

    def _predict_block(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Class ids, (pixels,), and probabilities, (classes, pixels), of (dates, features, pixels)."""
        missing = values == NODATA
        # The operations of `landseries.neural.normalisation.network_input`, in its order.
        standard = ((values.float() - self._mean) * self._scale).masked_fill_(missing, 0).bfloat16().float()
        flag = missing.any(dim=1, keepdim=True).float()
        channels = torch.cat([standard, flag], dim=1).permute(2, 0, 1).contiguous()
        shares = torch.softmax(self._module(channels), dim=1)
        seen = ~missing.flatten(0, 1).all(dim=0)
        return self._classes[shares.argmax(dim=1)] * seen, (shares * seen[:, None]).T.contiguous()
