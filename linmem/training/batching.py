"""Batches: sequences of similar length together, cut into chunks of steps, and divided among workers.

The functions take `Examples`; `training.steps` registers them for single steps.

Symbols: B sequences of a batch, T steps, S steps of a chunk, M targets of a chunk, a inputs, o outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from linmem.sequences import length_buckets, pad, valid_mask
from linmem.training.tasks import Examples


class BatchChunk(NamedTuple):
    """Some steps of a padded batch."""

    values: Tensor  # (B, S, a)
    target_mask: Tensor  # (B, S) bool, true where a step has a target; false in the padding
    targets: Tensor  # (M, o) or (M,), sequence by sequence
    num_targets: int  # in the parts of all workers


@singledispatch
def shuffled_buckets(examples: Any, batch_size: int, random: np.random.Generator) -> list[list[int]]:
    """Batches of similar length whose members and order change with every epoch: lengths vary at random by 10 %."""
    noisy_lengths = [int(1000 * len(x) * random.uniform(0.9, 1.1)) for x in examples.inputs]
    buckets = length_buckets(noisy_lengths, batch_size)
    return [buckets[i] for i in random.permutation(len(buckets))]


@singledispatch
def ordered_buckets(examples: Any, batch_size: int) -> list[list[int]]:
    """Batches of similar length, the same in every call."""
    return length_buckets([len(x) for x in examples.inputs], batch_size)


def select(examples: Examples, indices: list[int]) -> Examples:
    """The examples at `indices`."""
    return Examples([examples.inputs[i] for i in indices], [examples.targets[i] for i in indices])


@singledispatch
def chunks(examples: Any, bucket: list[int], steps: int = 0, worker: int = 0, workers: int = 1) -> Iterator[BatchChunk]:
    """Cut one batch, or a worker's part of it, into chunks of `steps` steps; 0 means one chunk.

    Every worker gets the same number of chunks, some without targets, because all take part in every sum of gradients.
    Chunks without targets for any worker (`num_targets` 0) are included: they carry the state.
    """
    spans = [(len(examples.inputs[i]) - len(examples.targets[i]), len(examples.inputs[i])) for i in bucket]
    longest = max(end for _, end in spans)
    steps = steps or longest
    own = bucket[worker::workers]
    values, lengths = pad(select(examples, own or bucket[:1]).inputs)
    targets = torch.cat([examples.targets[i] for i in own or bucket[:1]])
    target_mask = valid_mask(lengths, longest) & ~valid_mask(
        lengths - _counts(examples, own or bucket[:1], lengths), longest
    )
    step_of = target_mask.nonzero()[:, 1]
    values = nn.functional.pad(values, (0, 0, 0, longest - values.shape[1]))
    for start in range(0, longest, steps):
        here = slice(start, start + steps)
        among = (start <= step_of) & (step_of < start + steps)
        num_targets = sum(max(min(end, start + steps) - max(first, start), 0) for first, end in spans)
        if own:
            yield BatchChunk(values[:, here], target_mask[:, here], targets[among], num_targets)
        else:
            yield BatchChunk(values[:, here], torch.zeros_like(target_mask[:, here]), targets[:0], num_targets)


def _counts(examples: Examples, indices: list[int], like: Tensor) -> Tensor:
    return torch.tensor([len(examples.targets[i]) for i in indices]).to(like)


@singledispatch
def on_device(examples: Any, model: nn.Module) -> Any:
    """Move the examples to the device of the model's weights, and floating-point numbers to their dtype."""
    like = next(chain(model.parameters(), model.buffers()))
    return Examples(*([y.to(like if y.is_floating_point() else like.device) for y in tensors] for tensors in examples))
