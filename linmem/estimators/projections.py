"""Random projections of memory states: unit directions with thresholds taken from the data.

Symbols: p memory units, m projections.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
        b, the value of each projection at a random training step: a random quantile.
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
    sample = states[rng.integers(len(states), size=count), start:stop]
    return Projections(start, stop, directions, np.einsum("jp,pj->j", sample, directions))
