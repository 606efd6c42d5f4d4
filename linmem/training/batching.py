"""Examples become batches: sequences of similar length together, long ones in chunks, and each worker its part.

Letters: B sequences of a batch, T steps, S steps of a chunk, M answers asked for in it, a inputs, o outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from linmem.sequences import length_buckets, pad, valid_mask
from linmem.training.tasks import Examples


class Chunk(NamedTuple):
    """Some steps of a padded batch."""

    values: Tensor  # (B, S, a)
    asked: Tensor  # (B, S) bool, true where an answer is asked for; never in the padding
    targets: Tensor  # (M, o) or (M,), sequence by sequence
    answers: int  # asked for in all workers' parts


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

    Every worker gets as many chunks as the others, some without an answer: all take part in every sum of gradients.
    Chunks in which no worker is asked for anything come too, their `answers` 0: they carry the state.
    """
    spans = [(len(examples.inputs[i]) - len(examples.targets[i]), len(examples.inputs[i])) for i in bucket]
    longest = max(end for _, end in spans)
    steps = steps or longest
    mine = bucket[worker::workers]
    values, lengths = pad(select(examples, mine or bucket[:1]).inputs)
    targets = torch.cat([examples.targets[i] for i in mine or bucket[:1]])
    asked = valid_mask(lengths, longest) & ~valid_mask(
        lengths - _counts(examples, mine or bucket[:1], lengths), longest
    )
    step_of = asked.nonzero()[:, 1]
    values = nn.functional.pad(values, (0, 0, 0, longest - values.shape[1]))
    for start in range(0, longest, steps):
        here = slice(start, start + steps)
        among = (start <= step_of) & (step_of < start + steps)
        answers = sum(max(min(end, start + steps) - max(first, start), 0) for first, end in spans)
        if mine:
            yield Chunk(values[:, here], asked[:, here], targets[among], answers)
        else:
            yield Chunk(values[:, here], torch.zeros_like(asked[:, here]), targets[:0], answers)


def _counts(examples: Examples, indices: list[int], like: Tensor) -> Tensor:
    return torch.tensor([len(examples.targets[i]) for i in indices]).to(like)


def on_device(model: nn.Module, examples: Examples) -> Examples:
    """Lay the examples where the model's weights are."""
    device = next(chain(model.parameters(), model.buffers())).device
    return Examples(*([tensor.to(device) for tensor in tensors] for tensors in examples))
