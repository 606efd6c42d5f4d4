"""Random projections of memory states: unit directions with thresholds taken from the data.

A threshold at a training value would leave the sign of that step to rounding, and with it the pooled features. It is
therefore midway between a training value, which is a random quantile, and the next higher one.

Symbols: N training steps, p memory units, m projections.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SMALLEST_GAP = 3e-5  # values nearer than this count as equal: far above rounding of states with unit variance, 1e-6
BLOCK = 128  # projections whose training values are held at once


@dataclass(frozen=True)
class Projections:
    """The projections z = y W − b of one memory's states.

    Attributes
    ----------
    start, stop : int
        The memory's columns among the states of all memories of its view.
    directions : (p, m) float32
        W, unit columns. Each reads the first q memory units, q uniform in 1 … p: from smooth to detailed.
    thresholds : (m,) float32
        b, midway between the projection's value at a random training step and its next higher value.
    """

    start: int
    stop: int
    directions: np.ndarray
    thresholds: np.ndarray

    def apply(self, states: np.ndarray) -> np.ndarray:
        """Return z, (steps, m), of the states (steps, p of all memories)."""
        z: np.ndarray = states[:, self.start : self.stop] @ self.directions
        z -= self.thresholds
        return z


def draw_projections(states: np.ndarray, start: int, stop: int, count: int, rng: np.random.Generator) -> Projections:
    """Draw `count` projections of columns start … stop − 1 of a sample of training states, (steps, p)."""
    size = stop - start
    directions = rng.standard_normal((size, count))
    directions *= np.arange(size)[:, None] < rng.integers(1, size + 1, count)
    directions = (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)
    steps = states[:, start:stop]
    chosen = np.einsum("jp,pj->j", steps[rng.integers(len(states), size=count)], directions)
    thresholds = chosen + next_gaps(steps, directions, chosen) / 2
    return Projections(start, stop, directions, thresholds.astype(np.float32))


def next_gaps(states: np.ndarray, directions: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Distances (m,) from one value per projection to the next higher one among all states (N, p).

    The distance from the highest value, which no training step exceeds, is 1.
    """
    gaps = np.ones(len(values), np.float32)
    for first in range(0, len(values), BLOCK):
        block = slice(first, first + BLOCK)
        distances = states @ directions[:, block]
        distances -= values[block]
        distances[distances < SMALLEST_GAP] = np.inf
        nearest = distances.min(0)
        gaps[block] = np.where(np.isfinite(nearest), nearest, 1)
    return gaps
