"""Examples become batches: sequences of similar length together, long ones in chunks, and each worker its part.

Letters: B sequences of a batch, T steps, S steps of a chunk, M real steps among B · S, a inputs, o outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from linmem.sequences import length_buckets, pad, valid_mask
from linmem.tasks import Examples


class Chunk(NamedTuple):
    """Some steps of a padded batch."""

    values: Tensor  # (B, S, a)
    real: Tensor  # (B, S) bool, false where a step is padding
    targets: Tensor  # (M, o), sequence by sequence
    frames: int  # real steps of all workers' parts


def shuffled_buckets(examples: Examples, batch_size: int, random: np.random.Generator) -> list[list[int]]:
    """Batches of similar length whose members and order change with every epoch: lengths are blurred by 20 %."""
    blurred = [int(1000 * len(x) * random.uniform(0.9, 1.1)) for x in examples.inputs]
    buckets = length_buckets(blurred, batch_size)
    return [buckets[i] for i in random.permutation(len(buckets))]


def select(examples: Examples, indices: list[int]) -> Examples:
    """Take the examples at `indices`."""
    return Examples([examples.inputs[i] for i in indices], [examples.targets[i] for i in indices])


def chunks(examples: Examples, bucket: list[int], steps: int = 0, worker: int = 0, workers: int = 1) -> Iterator[Chunk]:
    """Cut one batch, or a worker's part of it, into chunks of `steps` steps; 0 takes it whole.

    Every worker gets as many chunks as the others, some without a real step: all take part in every sum of gradients.
    """
    lengths = [len(examples.inputs[i]) for i in bucket]
    longest = max(lengths)
    steps = steps or longest
    mine = bucket[worker::workers]
    batch = select(examples, mine or bucket[:1])
    values, sizes = pad(batch.inputs)
    real = valid_mask(sizes, values.shape[1]) if mine else valid_mask(sizes * 0, values.shape[1])
    for start in range(0, longest, steps):
        within = slice(start, start + steps) if start < values.shape[1] else slice(0, steps)  # a step to go through
        here = real[:, within] if start < values.shape[1] else torch.zeros_like(real[:, within])
        targets = torch.cat([y[within][: int(n)] for y, n in zip(batch.targets, here.sum(1), strict=True)])
        frames = sum(min(max(length - start, 0), steps) for length in lengths)
        yield Chunk(values[:, within], here, targets, frames)


def on_device(model: nn.Module, examples: Examples) -> Examples:
    """Lay the examples where the model's weights are."""
    device = next(chain(model.parameters(), model.buffers())).device
    return Examples(*([tensor.to(device) for tensor in tensors] for tensors in examples))
