"""Data-parallel training: rank and number of workers, barriers, averaged gradients and sums of counts.

Without `torchrun` there is one worker and every function returns at once. Under `torchrun` the workers are the default
process group of `torch.distributed`, which `join_workers` creates.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import reduce
from operator import add
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from linmem.workers import connect, disconnect, lost_workers_reported

Counts = TypeVar("Counts")


def rank() -> int:
    """Rank of this worker, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def size() -> int:
    """Number of workers."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def wait() -> None:
    """Wait until all workers have called this function."""
    if size() > 1:
        dist.barrier()


def average_gradients(model: nn.Module) -> nn.Module:
    """Wrap `model` so that `backward` leaves the mean of all workers' gradients in every worker."""
    return DistributedDataParallel(model) if size() > 1 else model


def sum_over_workers(counts: Counts, device: torch.device | str = "cpu") -> Counts:
    """Add the workers' `counts`, a dataclass of tensors and numbers with `+`, in the order of their ranks."""
    if size() == 1:
        return counts
    values = {f.name: getattr(counts, f.name) for f in fields(counts)}  # type: ignore[arg-type]
    tensors = [torch.as_tensor(value) for value in values.values()]
    packed = torch.cat([tensor.to(device, torch.float64).reshape(-1) for tensor in tensors])
    gathered = [torch.empty_like(packed) for _ in range(size())]
    dist.all_gather(gathered, packed)

    def unpacked(worker: Tensor) -> Counts:
        parts = zip(values.items(), worker.split([tensor.numel() for tensor in tensors]), strict=True)
        return type(counts)(
            **{
                name: part.reshape(value.shape).to(value) if isinstance(value, Tensor) else type(value)(part.item())
                for (name, value), part in parts
            }
        )

    return reduce(add, map(unpacked, gathered))


@contextmanager
def join_workers(device: str) -> Iterator[str]:
    """Join the process group if `torchrun` started this process; yields the device of this worker.

    Raises
    ------
    WorkerLostError
        A worker did not connect in time, or was lost during the block.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    cuda = device.startswith("cuda")
    connect("nccl" if cuda else "gloo")
    try:
        with lost_workers_reported("Start all workers again with --resume, or let torchrun do so with --max-restarts."):
            yield f"cuda:{os.environ['LOCAL_RANK']}" if cuda else device
    finally:
        disconnect()
