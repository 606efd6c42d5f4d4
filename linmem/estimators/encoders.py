"""The encoder of one view: memories of several decays as one matrix of filters, and their random projections.

Symbols: K lags, a features, p memory units of all decays, m projections per memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from linmem.estimators.memory_filters import count_lags, lag_gram, lag_rows, memory_filters
from linmem.estimators.projections import Projections, draw_projections

SAMPLE_SERIES, SAMPLE_STEPS = 100, 50  # series, and steps of each, that thresholds are drawn from


@dataclass(frozen=True)
class Encoder:
    """One view's memories.

    Attributes
    ----------
    lags : int
        K.
    filters : (K·a, p) float32
        y_t = filtersᵀ [x_t, x_{t-1}, …], all decays side by side.
    projections : tuple of Projections
        One per decay.
    """

    lags: int
    filters: np.ndarray
    projections: tuple[Projections, ...]

    def states(self, series: np.ndarray, start: int, stop: int) -> np.ndarray:
        """States (stop − start, p) of the steps start … stop − 1."""
        result: np.ndarray = lag_rows(series, start, stop, self.lags) @ self.filters
        return result


def fit_encoder(
    series: Sequence[np.ndarray],
    decays: Sequence[float],
    memory_size: int,
    count: int,
    max_lags: int,
    memory: str,
    rng: np.random.Generator,
) -> Encoder:
    """Solve the memories of one view, (T_i, a) float32 each, and draw `count` projections per decay."""
    channels, longest = series[0].shape[1], max(map(len, series))
    lags = min(longest, count_lags(max(decays)), max(1, max_lags // channels))
    gram = lag_gram(series, lags)
    filters = [memory_filters(gram, decay, lags, memory_size, memory, rng) for decay in decays]
    edges = np.cumsum([0] + [one.shape[1] for one in filters]).tolist()
    joint = np.concatenate(filters, 1)
    sample = [series[i] for i in rng.permutation(len(series))[:SAMPLE_SERIES]]
    rows = [lag_rows(x, 0, len(x), lags)[:: max(1, len(x) // SAMPLE_STEPS)] for x in sample]
    states = np.concatenate([block @ joint for block in rows])
    projections = [draw_projections(states, a, b, count, rng) for a, b in pairwise(edges)]
    return Encoder(lags, joint, tuple(projections))
