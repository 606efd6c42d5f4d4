"""The root mean square difference of a series: the unit in which series of different scale are modelled together.

Symbols: T steps, a features, n series.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from linmem.estimators.mean_squares import factor_of, root_mean_square
from linmem.scales import is_constant

LEAST_DIFFERENCES = 10  # of which a mean is taken


def step_size(series: np.ndarray) -> np.ndarray:
    """Root mean square difference (a,) of a (T, a) series; NaN where it is constant or has few steps.

    Examples
    --------
    >>> step_size(np.stack([3.0 * np.arange(20), np.ones(20)], 1))
    array([ 3., nan])
    """
    if len(series) <= LEAST_DIFFERENCES:
        return np.full(series.shape[1], np.nan)
    size = root_mean_square(np.diff(series, axis=0))
    return np.where(is_constant(size, np.abs(series).max(0)), np.nan, size)


def running_step_size(series: np.ndarray) -> np.ndarray:
    """What `step_size` is of the steps up to each one of a (T, a) series, (T, a).

    Examples
    --------
    >>> running_step_size(3.0 * np.arange(12)[:, None])[-3:, 0]
    array([nan,  3.,  3.])
    """
    differences = np.diff(series, axis=0)
    if len(series) <= LEAST_DIFFERENCES:
        return np.full(series.shape, np.nan)
    factor = factor_of(differences)
    counts = np.arange(1, len(series))[:, None]
    size = np.sqrt(((differences * factor) ** 2).cumsum(0) / counts) / factor
    largest = np.maximum.accumulate(np.abs(series))[1:]
    size = np.where(is_constant(size, largest) | (counts < LEAST_DIFFERENCES), np.nan, size)
    return np.concatenate([np.full((1, series.shape[1]), np.nan), size])


def typical_step_size(series: Sequence[np.ndarray]) -> np.ndarray:
    """Mean step size (a,) of n series; 1 where all are constant.

    Examples
    --------
    >>> rising = np.stack([np.arange(20.0), np.ones(20)], 1)
    >>> typical_step_size([rising, 3 * rising])
    array([2., 1.])
    """
    sizes = np.stack([step_size(x) for x in series])
    known = ~np.isnan(sizes)
    typical: np.ndarray = np.where(known, sizes, 0).sum(0) / np.maximum(known.sum(0), 1)
    return np.where(known.any(0), typical, 1.0)
