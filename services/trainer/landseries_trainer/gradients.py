"""How the gradients of the parts of a batch are added up, by one process or by several.

Annotations are objects here and no texts (no `from __future__ import annotations`): PyTorch looks at them.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist


def flat_gradients(parameters: Iterable[torch.nn.Parameter]) -> torch.Tensor:
    """The gradients of one part of a batch, one after the other, in float64."""
    return torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None]).double()


def set_gradients(parameters: Iterable[torch.nn.Parameter], flat: torch.Tensor) -> None:
    """Put a sum of `flat_gradients` into its places, rounded once."""
    start = 0
    for parameter in parameters:
        parameter.grad = flat[start : start + parameter.numel()].view_as(parameter).to(parameter.dtype)
        start += parameter.numel()


def sum_in_float64(
    state: object,
    bucket: dist.GradBucket,  # type: ignore[name-defined]
) -> torch.futures.Future[torch.Tensor]:
    """Add up a bucket of gradients over all processes (a communication hook of DistributedDataParallel).

    The sum is in float64 and rounded once, so that neither its order nor the layout of the buckets shows, which differs
    between a training's first step and the others.
    """
    gradients: torch.Tensor = bucket.buffer()
    wide = gradients.double()
    added = dist.all_reduce(wide, async_op=True).get_future()

    def narrow(future: torch.futures.Future[list[torch.Tensor]]) -> torch.Tensor:
        return gradients.copy_(future.value()[0])

    summed: torch.futures.Future[torch.Tensor] = added.then(narrow)
    return summed
