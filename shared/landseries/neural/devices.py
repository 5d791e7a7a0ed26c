"""Which device a process of a run computes on."""

from __future__ import annotations

import os
from typing import Final, Literal

import torch

from landseries.errors import LandseriesError

#: NVIDIA's generation from which bfloat16 is computed with natively: Ampere.
_WITH_BFLOAT16: Final = (8, 0)


def local_rank() -> int:
    """Number of this process among those of its machine, as torchrun, Slurm or the embedded run names it; else 0."""
    found = os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or "0"
    return int(found) if found.isdecimal() else 0


def device_of(wanted: Literal["cpu", "cuda"], precision: Literal["float32", "bfloat16"] = "float32") -> torch.device:
    """The device of this process: where several GPUs are visible, processes of a machine take them in turn.

    Args:
        wanted: kind of device.
        precision: of the operands of matrix products, which the device must compute with by itself.

    Raises:
        LandseriesError: a GPU is wanted, and PyTorch finds none, or one without this precision.
    """
    if wanted == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise LandseriesError(
            "the run is planned for GPUs (numerics.device: cuda), and PyTorch finds none here: check the driver, that "
            "PyTorch is a CUDA build, and CUDA_VISIBLE_DEVICES"
        )
    device = torch.device("cuda", local_rank() % torch.cuda.device_count())
    if precision == "bfloat16" and torch.cuda.get_device_capability(device) < _WITH_BFLOAT16:
        raise LandseriesError(
            f"the run is planned for bfloat16 (numerics.precision), and {torch.cuda.get_device_name(device)} has none: "
            "use a GPU of the Ampere generation or newer, or submit the run with `numerics: {precision: float32}`"
        )
    return device


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on a device; a GPU fetches it from pinned memory when its turn comes, and nobody waits for that."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
