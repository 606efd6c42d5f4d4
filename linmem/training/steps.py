"""Single steps: examples without time, for models whose memory is fixed and whose features are computed once.

A step is a batch member of its own, so that steps of all sequences are shuffled together.

Symbols: N steps, d features, o outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from linmem.training.batching import BatchChunk, chunks, on_device, ordered_buckets, shuffled_buckets
from linmem.training.tasks import Examples


class Steps(NamedTuple):
    """Features and targets of single steps."""

    inputs: Tensor  # (N, d)
    targets: Tensor  # (N, o) numbers or (N,) classes


@torch.no_grad()
def steps_of(encoder: nn.Module, examples: Examples, batch_size: int = 64) -> Steps:
    """Encode all sequences and keep the steps that have a target.

    Parameters
    ----------
    encoder : Module
        Called as `features, state = encoder(x)` on padded batches x (B, T, a).
    examples : Examples
        Sequences with their targets.
    batch_size : int
        Sequences encoded at once.

    Returns
    -------
    Steps
        On the device of the encoder, in an order that does not matter.
    """
    examples = on_device(examples, encoder)
    parts = [
        (encoder(chunk.values)[0][chunk.target_mask], chunk.targets)
        for bucket in ordered_buckets(examples, batch_size)
        for chunk in chunks(examples, bucket)
    ]
    return Steps(torch.cat([features for features, _ in parts]), torch.cat([targets for _, targets in parts]))


@shuffled_buckets.register
def _(examples: Steps, batch_size: int, random: np.random.Generator) -> list[list[int]]:
    order = random.permutation(len(examples.inputs))
    return [order[start : start + batch_size].tolist() for start in range(0, len(order), batch_size)]


@ordered_buckets.register
def _(examples: Steps, batch_size: int) -> list[list[int]]:
    count = len(examples.inputs)
    return [list(range(start, min(start + batch_size, count))) for start in range(0, count, batch_size)]


@chunks.register
def _(examples: Steps, bucket: list[int], steps: int = 0, worker: int = 0, workers: int = 1) -> Iterator[BatchChunk]:
    own = bucket[worker::workers]
    mask = torch.ones(max(len(own), 1), 1, dtype=torch.bool, device=examples.inputs.device)
    values = examples.inputs[own or bucket[:1]].unsqueeze(1)
    yield BatchChunk(values, mask if own else ~mask, examples.targets[own], len(bucket))


@on_device.register
def _(examples: Steps, model: nn.Module) -> Steps:
    device = next(chain(model.parameters(), model.buffers())).device
    return Steps(*(tensor.to(device) for tensor in examples))
