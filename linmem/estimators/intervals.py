"""Prediction intervals from the errors of forecasts of known steps.

The half-width at each step ahead is the split-conformal quantile of the absolute errors at that step: of n errors the
⌈(n + 1) c⌉-th smallest, or the largest where that is more than n, for the coverage c. V. Vovk, A. Gammerman and
G. Shafer, Algorithmic Learning in a Random World, 2005.

Symbols: n origins, H steps ahead, a features.
"""

from __future__ import annotations

import numpy as np

from linmem.validation import check_share


def conformal_widths(errors: np.ndarray, coverage: float) -> np.ndarray:
    """Half-widths (H, a) from errors (n, H, a), NaN for missing ones; NaN where a step ahead has no error.

    Raises
    ------
    ValueError
        The coverage is not between 0 and 1.

    Examples
    --------
    >>> conformal_widths(np.arange(-5.0, 5.0)[:, None, None], 0.5)
    array([[3.]])
    """
    check_share("coverage", coverage)
    ordered = np.sort(np.abs(errors), axis=0)  # NaN last
    count = (~np.isnan(ordered)).sum(0)
    rank = np.minimum(np.ceil((count + 1) * coverage), np.maximum(count, 1)).astype(int) - 1
    widths: np.ndarray = np.take_along_axis(ordered, rank[None], 0)[0]
    return widths
