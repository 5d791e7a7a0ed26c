"""Which device a process of a run computes on."""

from __future__ import annotations

import os
from typing import Literal

import torch

from landseries.errors import LandseriesError


def local_rank() -> int:
    """Number of this process among those of its machine, as torchrun, Slurm or the embedded run names it; else 0."""
    found = os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or "0"
    return int(found) if found.isdecimal() else 0


def device_of(wanted: Literal["cpu", "cuda"]) -> torch.device:
    """The device of this process: where several GPUs are visible, processes of a machine take them in turn.

    Raises:
        LandseriesError: a GPU is wanted, and PyTorch finds none.
    """
    if wanted == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise LandseriesError(
            "the run is planned for GPUs (numerics.device: cuda), and PyTorch finds none here: check the driver, that "
            "PyTorch is a CUDA build, and CUDA_VISIBLE_DEVICES"
        )
    return torch.device("cuda", local_rank() % torch.cuda.device_count())
