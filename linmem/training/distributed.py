"""Several processes that train one model: who am I, how many are we, and what do we have together.

One process without `torchrun` is a group of one, and every call here does nothing. Under `torchrun` the group is the
default one of `torch.distributed`; `join` makes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

Counts = TypeVar("Counts")


def rank() -> int:
    """Number of this worker, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def size() -> int:
    """How many workers there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def wait() -> None:
    """Wait until all workers are here."""
    if size() > 1:
        dist.barrier()


def averaging_gradients(model: nn.Module) -> nn.Module:
    """`model`, made to leave in every worker the mean of all workers' gradients."""
    return DistributedDataParallel(model) if size() > 1 else model


def total(counts: Counts, device: torch.device | str = "cpu") -> Counts:
    """Sum a dataclass of tensors and numbers over the workers, in float64."""
    if size() == 1:
        return counts
    values = {f.name: getattr(counts, f.name) for f in fields(counts)}  # type: ignore[arg-type]
    tensors = [torch.as_tensor(value) for value in values.values()]
    packed = torch.cat([tensor.to(device, torch.float64).reshape(-1) for tensor in tensors])
    dist.all_reduce(packed)
    sums = packed.split([tensor.numel() for tensor in tensors])
    return type(counts)(
        **{
            name: total.reshape(value.shape).to(value) if isinstance(value, Tensor) else type(value)(total.item())
            for (name, value), total in zip(values.items(), sums, strict=True)
        }
    )


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Be a worker of the group that `torchrun` started, if it did; yields the device that is this worker's own."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    cuda = device.startswith("cuda")
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield f"cuda:{os.environ['LOCAL_RANK']}" if cuda else device
    finally:
        dist.destroy_process_group()
