"""The batches of an epoch: shuffled, each process's parts read and prepared while the batch before is computed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from landseries.neural.normalisation import Normalisation, network_input
from landseries_trainer.group import Group, part_of
from landseries_trainer.samples import TrainingSet


class Labelled:
    """A set of series as a network reads them, series by series."""

    def __init__(self, samples: TrainingSet, classes: NDArray[np.uint8], normalisation: Normalisation) -> None:
        """Make it; nothing is read yet.

        Args:
            samples: the series; their labels are among the classes.
            classes: (classes,) class ids, ascending.
            normalisation: of the training set.
        """
        self._samples = samples
        self._normalisation = normalisation
        self._targets = np.searchsorted(classes, samples.labels).astype(np.uint8)

    def __len__(self) -> int:
        """Number of series."""
        return len(self._samples)

    def channels(self, chosen: NDArray[np.int64] | slice) -> torch.Tensor:
        """What the network reads of some series, (k, dates, features + 1) float32."""
        return torch.from_numpy(network_input(self._samples.take(chosen), self._normalisation))

    def targets(self, chosen: NDArray[np.int64] | slice) -> NDArray[np.int64]:
        """Index of the class of some series, (k,)."""
        return self._targets[chosen].astype(np.int64)

    def weights(self, chosen: NDArray[np.int64]) -> torch.Tensor:
        """How much some series count, (k,) float32."""
        weights = self._samples.weights
        return torch.ones(len(chosen)) if weights is None else torch.from_numpy(weights[chosen])


@dataclass(frozen=True)
class Batch:
    """A part of a batch.

    Attributes:
        part: number of the part.
        size: series of the whole batch.
        own: which of them are here.
        channels: (k, dates, features + 1) float32.
        targets: (k,) int64.
        weights: (k,) float32.
        weight: () float32, sum of the weights of the whole batch.
    """

    part: int
    size: int
    own: slice
    channels: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    weight: torch.Tensor


class Batches:
    """The batches of one epoch, in order.

    Attributes:
        waited_s: seconds that the device has waited for data so far, at most.
    """

    def __init__(self, data: Labelled, order: NDArray[np.int64], count: int, group: Group) -> None:
        """Make them.

        Args:
            data: the training set.
            order: (n,) its series in the epoch's order, the same in every process.
            count: number of batches; their sizes differ by at most one.
            group: the processes that share each batch.
        """
        self._data = data
        self._order = order
        self._count = count
        self._group = group
        self.waited_s = 0.0

    def __iter__(self) -> Iterator[list[Batch]]:
        """This process's parts of every batch; those of the next one are read meanwhile."""
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as reader:
            coming = reader.submit(self._load, 0)
            for number in range(self._count):
                start = time.perf_counter()
                parts = coming.result()
                if self._group.is_idle:
                    self.waited_s += time.perf_counter() - start
                if number + 1 < self._count:
                    coming = reader.submit(self._load, number + 1)
                yield parts

    def _load(self, number: int) -> list[Batch]:
        whole = self._order[part_of(len(self._order), self._count, number)]
        weights = self._data.weights(whole)
        return [self._part(part, whole, weights) for part in self._group.own_parts]

    def _part(self, part: int, whole: NDArray[np.int64], all_weights: torch.Tensor) -> Batch:
        own = part_of(len(whole), self._group.parts, part)
        chosen, weights = whole[own], all_weights[own]
        if len(chosen) == 0:
            # More parts than series: one that counts for nothing, so that every process takes every step.
            own = slice(0, 1)
            chosen, weights = whole[own], torch.zeros(1)
        channels, targets = self._data.channels(chosen), torch.from_numpy(self._data.targets(chosen))
        if self._group.device.type == "cuda":
            channels, targets, weights = channels.pin_memory(), targets.pin_memory(), weights.pin_memory()
        return Batch(part, len(whole), own, channels, targets, weights, all_weights.sum())
