"""How far an exported program is from the model in Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class Agreement(NamedTuple):
    """The largest absolute difference, and the largest absolute output of the model; NaN where a number is NaN."""

    difference: float
    output: float

    def within(self, tolerance: float, floor: float = 1.0) -> bool:
        """Whether the difference is at most `tolerance`, relative to the largest output or to `floor` if above it."""
        return self.difference <= tolerance * max(floor, self.output)


def agreement(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Agreement:
    """Compare pairs of arrays of equal shapes: what the model computes, and what the program does.

    Examples
    --------
    >>> agreement([(np.array([1.0, -4.0]), np.array([1.5, -4.0]))])
    Agreement(difference=0.5, output=4.0)
    >>> agreement([(np.ones(2), np.ones(2)), (np.ones(1), np.full(1, np.nan))]).within(1e-3)
    False
    """
    largest = [(np.abs(found - expected).max(), np.abs(expected).max()) for expected, found in pairs]
    difference, output = np.max(largest, axis=0)  # unlike Python's max, NaN if one of them is
    return Agreement(float(difference), float(output))
