"""Where false change would show: edges of the simulated ground that stayed what they were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation

from landseries.simulation.sensor import Camera


def unchanged_edges(camera: Camera, years: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Pixels beside another class, of the same true class in both years, away from the scene's rim."""
    first, last = (camera.history.truth(year) for year in years)
    edge = np.zeros(first.shape, dtype=bool)
    edge[:-1] |= first[:-1] != first[1:]
    edge[:, :-1] |= first[:, :-1] != first[:, 1:]
    inside = np.zeros_like(edge)
    inside[8:-8, 8:-8] = True
    return np.asarray(binary_dilation(edge) & (first == last) & inside)
