"""The processes that train one network together, and what each of them does of a batch.

All hold the same weights. Every batch is cut into a number of parts that belongs to the training; the gradients of the
parts are added up in float64. As many processes as there are parts do one part each; fewer do several, one after the
other, and get the same bytes. A process that is alone is a group of one, which waits for nobody.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from landseries.groups import Membership
from landseries_trainer.gradients import sum_in_float64

#: How long a process waits for the others before it gives up: far above what any of them does alone.
SILENCE_S: Final = 300.0

_BACKENDS: Final = {"cpu": "gloo", "cuda": "nccl"}
_joined = itertools.count()


@dataclass(frozen=True)
class Group:
    """The processes of one training, as one of them sees them.

    Attributes:
        rank: number of this process, from 0; process 0 writes.
        size: number of processes.
        device: where this process computes.
        parts: parts of every batch, at least as many as processes; the bytes of the weights depend on their number.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    parts: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes checkpoints, log and weights."""
        return self.rank == 0

    @property
    def is_idle(self) -> bool:
        """Whether the device has done all that it was told to; a GPU is told ahead."""
        return self.device.type != "cuda" or torch.cuda.current_stream(self.device).query()

    @property
    def own_parts(self) -> range:
        """Numbers of the parts of each batch that this process does."""
        return range(self.rank, self.parts, self.size)

    def add(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of the tensors of all processes, on the device of the tensor; the tensor itself may be changed."""
        if self.size == 1:
            return tensor
        moved = tensor.to(self.device)
        dist.all_reduce(moved)
        return moved.to(tensor.device)

    def share(self, content: bytes) -> bytes:
        """What process 0 gives, for all."""
        if self.size == 1:
            return content
        size = int(self.add(torch.tensor([len(content) if self.is_first else 0])))
        shared = torch.zeros(size, dtype=torch.uint8)
        if self.is_first:
            shared = torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else shared
        moved = shared.to(self.device)
        if size:
            dist.broadcast(moved, src=0)
        return moved.cpu().numpy().tobytes()

    @property
    def adds_by_itself(self) -> bool:
        """Whether gradients of a module that was `joined` are summed over all parts as they come."""
        return self.size == self.parts

    def joined(self, module: torch.nn.Module) -> torch.nn.Module:
        """The module; where every process has one part, with gradients that are the sum over all processes."""
        if self.size == 1 or not self.adds_by_itself:
            return module
        devices = [self.device.index] if self.device.type == "cuda" else None
        parallel = torch.nn.parallel.DistributedDataParallel(module, device_ids=devices)
        parallel.register_comm_hook(None, sum_in_float64)
        return parallel


ALONE: Final = Group()


@contextmanager
def joining(
    own: Membership | None, device: torch.device, parts: int = 1, silence_s: float = SILENCE_S
) -> Iterator[Group]:
    """Meet the others of a group where the environment says, and part from them at the end.

    Args:
        own: this process's place; None for a process on its own.
        device: where this process computes; gloo joins CPUs, nccl GPUs.
        parts: parts of every batch.
        silence_s: seconds after which another process that does not answer is an error.
    """
    if own is None or own.size == 1:
        yield Group(device=device, parts=parts)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    silence = timedelta(seconds=silence_s)
    # Names of its own each time: a process may join again for its next unit, at the same meeting point.
    named = PrefixStore(f"landseries-{next(_joined)}", _meeting_point(own, silence))
    dist.init_process_group(_BACKENDS[device.type], store=named, rank=own.rank, world_size=own.size, timeout=silence)
    try:
        yield Group(own.rank, own.size, device, parts)
    finally:
        dist.destroy_process_group()


@functools.cache
def _meeting_point(own: Membership, silence: timedelta) -> Store:
    """Where the processes find each other; process 0 keeps it until it ends."""
    os.environ.update(RANK=str(own.rank), WORLD_SIZE=str(own.size))
    store: Store = next(iter(rendezvous("env://", timeout=silence)))[0]
    return store


def part_of(count: int, parts: int, number: int) -> slice:
    """Where one of so many nearly equal parts of `count` things lies; the first ones are larger by one."""
    each, more = divmod(count, parts)
    start = number * each + min(number, more)
    return slice(start, start + each + (number < more))
