"""Random variation of training series, so that a network relies on no single date.

Which dates are missing differs from year to year and from pixel to pixel, and is no property of a class. Leaving out
further dates at random teaches a network to read the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


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

    def apply(self, channels: torch.Tensor) -> torch.Tensor:
        """Vary a batch with PyTorch's current random numbers.

        Args:
            channels: (n, dates, features + 1) float32 as `normalisation.network_input` gives them; changed in place.

        Returns:
            The same tensor.
        """
        values, flag = channels[:, :, :-1], channels[:, :, -1:]
        if self.noise > 0:
            # A missing value is exactly 0 and stays so; a present one is 0 too rarely to matter.
            values += self.noise * torch.randn_like(values) * (values != 0)
        if self.date_drop > 0:
            dropped = torch.rand(flag.shape) < self.date_drop
            values.masked_fill_(dropped, 0.0)
            flag.masked_fill_(dropped, 1.0)
        return channels
