"""Batches of sequences that share one Fourier transform length, chosen by their counted cost.

Symbols: B sequences of a group, n transform length, a features.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from linmem.autoencoder.history import fourier

BLOCK = 16  # columns transformed at once: a (3457, 88, 16) spectrum takes 78 MB
BATCH_NUMBERS = 4_000_000  # at most so many real numbers in one transformed batch of states: 32 MB
TRANSFORM_COST, PRODUCT_COST = 1.25, 0.067  # ns per number (times log2 n) and per multiplication, measured on one core


@dataclass(frozen=True)
class Group:
    """Batches of sequences that share one transform length."""

    steps: int
    transform: int
    batches: list[list[int]]


def make_groups(lengths: Sequence[int], features: int, lags: int) -> list[Group]:
    """Cut sequences into groups of similar length, and each group into batches."""
    return [_group(members, lengths, lags) for members in group_by_cost(lengths, features)]


def _group(members: list[int], lengths: Sequence[int], lags: int) -> Group:
    steps = max(lengths[index] for index in members)
    transform = fourier.fast_length(steps, lags)
    size = max(1, BATCH_NUMBERS // (transform * BLOCK))
    return Group(steps, transform, [members[start : start + size] for start in range(0, len(members), size)])


def group_by_cost(lengths: Sequence[int], features: int) -> list[list[int]]:
    """Cut the sequences, sorted by length, into groups whose counted work for one column is least.

    A group of B sequences at transform length n costs n (a + B) log n for the transforms of its block and of its
    states, and n a B for the products: long sequences should not pay for short ones' padding, nor short ones for a
    transform of their own. Dynamic programming over the distinct transform lengths, exact for this count.
    """
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    sizes = [fourier.fast_length(lengths[index]) for index in order]
    ends = [i + 1 for i in range(len(sizes)) if i + 1 == len(sizes) or sizes[i + 1] != sizes[i]]  # groups end here
    best, previous = {0: 0.0}, {}
    for end in ends:
        size = sizes[end - 1]
        fixed, each = _cost(size, features)
        best[end], previous[end] = min((best[start] + fixed + (end - start) * each, start) for start in best)
    groups, end = [], len(order)
    while end > 0:
        groups.append(order[previous[end] : end])
        end = previous[end]
    return groups[::-1]


def _cost(size: int, features: int) -> tuple[float, float]:
    transform = TRANSFORM_COST * size * math.log2(size + 1)
    return features * transform, transform + 4 * PRODUCT_COST * features * size
