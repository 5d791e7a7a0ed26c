"""The group of processes that this one was started into by torchrun or srun, as the environment names it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from landseries.errors import LandseriesError


@dataclass(frozen=True)
class Membership:
    """A process's place in a group.

    Attributes:
        rank: number of the process, from 0; process 0 answers a unit, the others help.
        size: number of processes.
    """

    rank: int
    size: int


def membership(environment: Mapping[str, str] | None = None) -> Membership | None:
    """The group that this process was started into; None where it is on its own.

    RANK and WORLD_SIZE are torchrun's; where a job script exports MASTER_ADDR and MASTER_PORT, Slurm's own
    SLURM_PROCID and SLURM_NTASKS serve as well.

    Args:
        environment: where to look; default this process's own.

    Raises:
        LandseriesError: the variables contradict each other.
    """
    found = os.environ if environment is None else environment
    if "MASTER_ADDR" not in found:
        return None
    rank = found.get("RANK", found.get("SLURM_PROCID"))
    size = found.get("WORLD_SIZE", found.get("SLURM_NTASKS"))
    if rank is None or size is None:
        return None
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size) and "MASTER_PORT" in found):
        raise LandseriesError(
            f"MASTER_ADDR is set, but rank {rank!r} of {size!r} processes and MASTER_PORT "
            f"{found.get('MASTER_PORT')!r} describe no group: start with torchrun, or export RANK, WORLD_SIZE, "
            "MASTER_ADDR and MASTER_PORT in the job script"
        )
    return Membership(int(rank), int(size))
