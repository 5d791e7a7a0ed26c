"""The network while it is trained: dropout that does not depend on the number of processes, and mixed precision.

Which units are left out is drawn for the whole batch, on the CPU, and each process uses its own part, so that a series
meets the same network whoever computes it, and on whatever device.
"""

from __future__ import annotations

import warnings
from typing import Literal

import torch

from landseries.neural.network import SeriesClassifier

Precision = Literal["float32", "bfloat16"]


class TrainedForward(torch.nn.Module):
    """A network's answer in training.

    Args:
        network: The network; its own dropout is not used.
        dropout: Share of hidden units that are left out, before the head and between layers.
        precision: Of the operands of matrix products.
    """

    def __init__(self, network: SeriesClassifier, dropout: float, precision: Precision) -> None:
        super().__init__()
        self.network = network
        self._dropout = dropout
        self._precision = precision

    def draw(self, size: int, own: slice, dates: int) -> list[torch.Tensor]:
        """Factors of the hidden units of part of a batch: 0 where left out, else what makes up for those.

        Args:
            size: Series of the whole batch.
            own: The part.
            dates: Dates of a series.

        Returns:
            (k, dates, hidden) between layers, lowest first, and (k, hidden) before the head. Empty without dropout.
        """
        if self._dropout == 0:
            return []
        hidden, layers = self.network.settings.hidden, self.network.settings.layers
        operands = torch.bfloat16 if self._precision == "bfloat16" else torch.float32
        between = [self._factors((dates, size, hidden), operands)[:, own].transpose(0, 1) for _ in range(layers - 1)]
        return [*between, self._factors((size, hidden), torch.float32)[own]]

    def forward(self, channels: torch.Tensor, factors: list[torch.Tensor]) -> torch.Tensor:
        """Scores of each class, (k, classes) float32.

        Args:
            channels: (k, dates, features + 1) float32.
            factors: What `draw` gave, on the same device.
        """
        on_cpu = channels.device.type == "cpu"
        # On GPUs autocast gives cuDNN's recurrent networks float16, whatever it is asked for: operands are cast here.
        if self._precision == "bfloat16" and not on_cpu:
            channels = channels.bfloat16()
        with torch.autocast("cpu", torch.bfloat16, enabled=on_cpu and self._precision == "bfloat16"):
            states = channels
            for layer in range(self.network.settings.layers):
                states = self._layer(layer, states)
                if layer < len(factors) - 1:
                    states = states * factors[layer]
            last = states[:, -1].float()
            scores: torch.Tensor = self.network.head(last * factors[-1] if factors else last)
        return scores.float()

    def _layer(self, layer: int, values: torch.Tensor) -> torch.Tensor:
        """The states of one layer at every date, (k, dates, hidden)."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = [self.network.lstm.get_parameter(f"{name}_l{layer}").to(values.dtype) for name in names]
        start = values.new_zeros(1, len(values), self.network.settings.hidden)
        with warnings.catch_warnings():
            # Weights that were cast do not lie in one piece; putting them there would cost the same copy.
            warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous")
            states: torch.Tensor = torch.lstm(values, (start, start), weights, True, 1, 0.0, True, False, True)[0]
        return states

    def _factors(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        keep = 1 - self._dropout
        return torch.empty(shape, dtype=dtype).bernoulli_(keep).div_(keep)
