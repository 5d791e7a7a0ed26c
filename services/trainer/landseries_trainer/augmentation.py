"""Random variation of training series, so that a network relies on no single date.

Which dates are missing differs from year to year and from pixel to pixel, and is no property of a class. Leaving out
further dates at random teaches a network to read the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from landseries.neural.devices import moved


@dataclass(frozen=True)
class Augmentation:
    """What is varied, anew for every series in every epoch.

    Attributes:
        date_drop: Probability that a date is made missing (0 to below 1).
        noise: Standard deviation of a deviation added to each value that is there, in standard deviations of its
            feature (0 or greater).
    """

    date_drop: float = 0.2
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError for a probability or a deviation that is none."""
        if not 0 <= self.date_drop < 1:
            raise ValueError(f"date_drop must be at least 0 and below 1, got {self.date_drop}")
        if not self.noise >= 0:
            raise ValueError(f"noise must not be negative, got {self.noise}")

    def apply(self, channels: torch.Tensor, size: int | None = None, own: slice = slice(None)) -> torch.Tensor:
        """Vary a batch, or one process's part of it, with PyTorch's current random numbers.

        They are drawn for the whole batch, so that what is done to a series does not depend on who does it.

        Args:
            channels: (n, dates, features + 1) float32 as `normalisation.network_input` gives them; changed in place.
            size: Series of the whole batch; default n.
            own: Which of them these are.

        Returns:
            The same tensor.
        """
        values, flag = channels[:, :, :-1], channels[:, :, -1:]
        whole = len(channels) if size is None else size
        if self.noise > 0:
            # A missing value is exactly 0 and stays so; a present one is 0 too rarely to matter.
            deviations = moved(torch.randn(whole, *values.shape[1:])[own], channels.device)
            values += self.noise * deviations * (values != 0)
        if self.date_drop > 0:
            dropped = moved(torch.rand(whole, *flag.shape[1:])[own] < self.date_drop, channels.device)
            values.masked_fill_(dropped, 0.0)
            flag.masked_fill_(dropped, 1.0)
        return channels
