"""Pools projected memory states over time, in pieces, so that the working memory does not grow with the length.

Per projection: the share of positive steps, the mean of the positive part, and the share of sign changes; per memory
unit: the last and the mean state.

Symbols: n series, T steps, p memory units, m projections per memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from linmem.estimators.encoders import Encoder
from linmem.estimators.memory_filters import CHUNK_STEPS

Piece = tuple[int, int, int]  # index of the series, first step, last step + 1


def pieces(lengths: Sequence[int], size: int) -> Iterator[list[Piece]]:
    """Yield batches of whole short series and pieces of long ones, at most `size` steps together."""
    batch: list[Piece] = []
    steps = 0
    for index, length in enumerate(lengths):
        for start in range(0, length, size):
            stop = min(length, start + size)
            if batch and steps + stop - start > size:
                yield batch
                batch, steps = [], 0
            batch.append((index, start, stop))
            steps += stop - start
    if batch:
        yield batch


class Pool:
    """Running sums over the steps of n series that one encoder reads.

    Float32 would stop counting at 2²⁴ steps, 47 hours at 100 Hz; counts are integers and sums are float64.
    """

    def __init__(self, encoder: Encoder, count: int) -> None:
        p = encoder.filters.shape[1]
        sizes = [one.directions.shape[1] for one in encoder.projections]
        self.counts = [np.zeros((count, 2, m), np.int64) for m in sizes]  # positive steps, sign changes
        self.parts = [np.zeros((count, m)) for m in sizes]  # sums of the positive part
        self.last, self.sum = np.zeros((count, p), np.float32), np.zeros((count, p))
        self._encoder = encoder
        self._signs: list[np.ndarray | None] = [None] * len(sizes)

    def add(self, states: np.ndarray, batch: list[Piece]) -> None:
        """Add the states (steps, p) of a batch of pieces, in order."""
        ids = np.array([index for index, _, _ in batch])
        starts = np.cumsum([0] + [stop - start for _, start, stop in batch])[:-1]
        for k, projections in enumerate(self._encoder.projections):
            z = projections.apply(states)
            positive = z > 0
            np.maximum(z, 0, out=z)
            changed = np.empty_like(positive)
            np.not_equal(positive[1:], positive[:-1], out=changed[1:])
            changed[starts] = False
            signs = self._signs[k]
            if batch[0][1] > 0 and signs is not None:  # the first piece continues a series
                changed[0] = positive[0] != signs
            self._signs[k] = positive[-1].copy()
            self.parts[k][ids] += segment_sums(z, starts)
            for row, values in enumerate((positive, changed)):
                self.counts[k][ids, row] += segment_sums(values, starts)
        self.sum[ids] += np.add.reduceat(states, starts, axis=0)
        self.last[ids] = states[np.append(starts[1:], len(states)) - 1]

    def features(self, lengths: np.ndarray, share: bool) -> list[np.ndarray]:
        """One block (n, 3 m + 2 p_b) per memory; with `share` false the number of positive steps, not the share."""
        steps, blocks = lengths[:, None], []
        for projections, counts, part in zip(self._encoder.projections, self.counts, self.parts, strict=True):
            units, positive = slice(projections.start, projections.stop), counts[:, 0]
            means = [part / np.maximum(positive, 1), counts[:, 1] / np.maximum(steps - 1, 1)]
            first = positive / steps if share else positive
            parts = [first, *means, self.last[:, units], self.sum[:, units] / steps]
            blocks.append(np.concatenate(parts, 1, dtype=np.float32))
        return blocks


def pooled_features(
    series: Sequence[np.ndarray], encoder: Encoder, share: bool, size: int = CHUNK_STEPS
) -> list[np.ndarray]:
    """Blocks (n, d_b) of features, one per memory, of (T_i, a) series."""
    lengths = [len(x) for x in series]
    pool = Pool(encoder, len(series))
    for batch in pieces(lengths, size):
        pool.add(np.concatenate([encoder.states(series[i], start, stop) for i, start, stop in batch]), batch)
    return pool.features(np.array(lengths), share)


def segment_sums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sums over consecutive segments of rows; counts as small integers, which are exact and fast."""
    if values.dtype != bool:
        sums: np.ndarray = np.add.reduceat(values, starts, axis=0)
        return sums
    stops = np.append(starts[1:], len(values))
    counts = values.view(np.uint8)
    return np.stack([counts[a:b].sum(0, dtype=np.uint32) for a, b in zip(starts, stops, strict=True)])
