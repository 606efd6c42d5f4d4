"""Scales of features: their deviation, or 1 for a constant feature; one rule for arrays and tensors.

A deviation at most 1e-12 of the largest value is rounding: 21.3 repeated has one of about 4e-15.

Symbols: a features.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

ROUNDING = 1e-12  # of the largest value

Numbers = TypeVar("Numbers", np.ndarray, Tensor)


def is_constant(deviation: Numbers, largest: Numbers) -> Numbers:
    """Return (a,) bool, true for features whose `deviation` is rounding of values up to `largest` in size."""
    constant: Numbers = deviation <= ROUNDING * largest
    return constant


def scale_of(deviation: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return (a,) scales to divide by: `deviation`, or 1 where the feature of `values` (N, a) is constant.

    Examples
    --------
    >>> scale_of(np.array([0.5, 4e-15]), np.array([[1.0, 21.3], [2.0, 21.3]]))
    array([0.5, 1. ])
    """
    return np.where(is_constant(deviation, np.abs(values).max(0)), 1.0, deviation)
