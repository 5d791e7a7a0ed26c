"""How the gradients of processes that train together are added up.

Annotations are objects here and no texts (no `from __future__ import annotations`): PyTorch looks at them.
"""

import torch
import torch.distributed as dist


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
