"""The LSTM classifier of annual series.

One direction, a fixed number of dates, and a linear head on the hidden state after the last date: on simulated
phenologies it labels better than a head on the mean or the maximum over the dates, and it costs nothing per date. The
forget gate starts open (bias 1, Jozefowicz et al. 2015), so that early dates reach the head from the first epoch on.
Sedona et al. (IGARSS 2022) name an LSTM and leave the rest open: hidden units, layers and head are ours.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from landseries.neural.normalisation import Normalisation
from landseries.neural.weights import NetworkSettings, TrainedNetwork


class SeriesClassifier(torch.nn.Module):
    """Annual series in, one score (logit) per class out.

    Args:
        settings: What the network reads and answers.
        dropout: Share of hidden units left out in training, before the head and between layers.
    """

    def __init__(self, settings: NetworkSettings, dropout: float = 0.0) -> None:
        super().__init__()
        self.settings = settings
        self.lstm = torch.nn.LSTM(
            settings.channels,
            settings.hidden,
            settings.layers,
            batch_first=True,
            dropout=dropout if settings.layers > 1 else 0.0,
        )
        self.dropout = torch.nn.Dropout(dropout)
        self.head = torch.nn.Linear(settings.hidden, len(settings.classes))
        with torch.no_grad():
            for layer in range(settings.layers):
                # PyTorch's gates are in the order input, forget, cell, output.
                self.lstm.get_parameter(f"bias_ih_l{layer}")[settings.hidden : 2 * settings.hidden] += 1.0

    def forward(self, channels: torch.Tensor) -> torch.Tensor:
        """Scores of each class.

        Args:
            channels: (n, dates, features + 1), as `normalisation.network_input` gives them.

        Returns:
            (n, classes) float32 logits, in the order of `settings.classes`.
        """
        states, _ = self.lstm(channels)
        scores: torch.Tensor = self.head(self.dropout(states[:, -1].float()))
        return scores

    def state_arrays(self) -> dict[str, NDArray[np.float32]]:
        """A copy of the weights as arrays, named as the weights file names them."""
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.state_dict().items()}

    def to_trained(self, normalisation: Normalisation) -> TrainedNetwork:
        """What is stored of this network."""
        return TrainedNetwork(self.settings, normalisation.mean, normalisation.std, self.state_arrays())


def build_network(trained: TrainedNetwork) -> SeriesClassifier:
    """The PyTorch module of a stored network, in evaluation mode."""
    network = SeriesClassifier(trained.settings)
    network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in trained.state.items()})
    network.eval()
    return network
