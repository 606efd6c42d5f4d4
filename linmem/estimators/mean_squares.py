"""Means of squares of values of any size: taken after a multiplication by a power of two, which is exact.

Squares overflow above 1e154 and vanish below 1e-162. Values up to 1e60 and above 1e-60 are taken as they are.

Symbols: N steps, a features.
"""

from __future__ import annotations

import numpy as np

from linmem.autoencoder.history.sources import scale_factor

LEAST = 1e-300  # smaller values would need a factor beyond the range of float64


def root_mean_square(values: np.ndarray) -> np.ndarray:
    """Return (a,) root mean squares of values (N, a).

    Examples
    --------
    >>> (root_mean_square(np.array([[3e200], [4e200]])) / 1e200).round(3)
    array([3.536])
    """
    factor = factor_of(values)
    root: np.ndarray = np.sqrt(((values * factor) ** 2).mean(0)) / factor
    return root


def mean_and_deviation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (a,) means and standard deviations of values (N, a).

    Examples
    --------
    >>> mean, deviation = mean_and_deviation(np.array([[1e-200], [3e-200]]))
    >>> float((deviation / mean).round(3)[0])
    0.5
    """
    factor = factor_of(values)
    scaled = values * factor
    return scaled.mean(0) / factor, scaled.std(0) / factor


def factor_of(values: np.ndarray) -> float:
    """Return the power of two that brings the largest of the values near 1 where squares leave the range, else 1."""
    largest = float(np.abs(values).max())
    return scale_factor(max(largest, LEAST)) if largest else 1.0
