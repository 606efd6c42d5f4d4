"""Means of squares of values of any size: taken after a multiplication by a power of two, which is exact.

Squares overflow above 1e154 and vanish below 1e-162. Values between 1e-60 and 1e60 in size are taken as they are.

Symbols: N steps, a features.
"""

from __future__ import annotations

import numpy as np

from linmem.autoencoder.history.sources import scale_factor

MOST_DEVIATIONS = 1e30  # of new values from the training mean: states are float32, and scores are squares
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
    scaled = values if factor == 1 else values * factor
    constant = scaled.max(0) == scaled.min(0)  # their computed mean may differ by rounding, which is no deviation
    mean, deviation = np.where(constant, scaled[0], scaled.mean(0)), np.where(constant, 0.0, scaled.std(0))
    return mean / factor, deviation / factor


def standardize(values: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return (values − mean) / scale for values (N, a), or for one step (a,).

    Raises
    ------
    ValueError
        A value is too far from the mean for what is computed of it to stay finite.
    """
    result: np.ndarray = (values - mean) / scale
    if not (largest := float(np.abs(result).max(initial=0))) <= MOST_DEVIATIONS:
        raise ValueError(
            f"values must be at most {MOST_DEVIATIONS:g} training deviations from the training mean, got {largest:.3g}."
            " Leave them out, or fit to series of this scale."
        )
    return result


def factor_of(values: np.ndarray) -> float:
    """Return the power of two that brings the largest of the values near 1 where squares leave the range, else 1."""
    largest = float(np.abs(values).max())
    return scale_factor(max(largest, LEAST)) if largest else 1.0
