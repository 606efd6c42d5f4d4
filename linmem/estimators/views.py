"""Views of a series: scaled by the training set or by itself, each with its differences, or padded with zeros.

Symbols: T steps, a features.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from linmem.estimators.mean_squares import mean_and_deviation, standardize
from linmem.scales import scale_of
from linmem.validation import shown

PAD_STEPS = 20  # zeros before and after a series in the "padded" view
TOLERANCE = 0.05  # series whose means and standard deviations are this near to 0 and 1 count as standardized
VIEWS = ("scaled", "scaled differences", "standardized", "standardized differences", "padded")
CAUSAL = ("scaled", "scaled differences")  # views whose value at a step needs no later step


@dataclass(frozen=True)
class Views:
    """The views of one training set.

    Attributes
    ----------
    names : tuple of str
        "scaled": mean 0 and variance 1 over all training steps. "standardized": mean 0 and variance 1 within each
        series. "padded": scaled, with `PAD_STEPS` times the unscaled value 0 before and after, which makes the length
        and the levels at both ends visible.
    mean, scale : (a,) arrays
        Mean and standard deviation of the training steps; the scale of a constant channel is 1.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray

    def apply(self, series: np.ndarray, name: str) -> np.ndarray:
        """Return the view `name` of a (T, a) series, float32."""
        z = standardize(series, self.mean, self.scale)
        if name == "padded":
            zeros = np.tile(np.clip(-self.mean / self.scale, -3, 3), (PAD_STEPS, 1))
            z = np.concatenate([zeros, z, zeros])
        if name.startswith("standardized"):
            z = (z - z.mean(0)) / np.maximum(z.std(0), 1e-6)
        if name.endswith("differences"):
            z = np.diff(z, axis=0, prepend=z[:1])
        return z.astype(np.float32)


def fit_views(sequences: Sequence[np.ndarray], names: str | Sequence[str] = "auto") -> Views:
    """Measure the scale of (T_i, a) series and choose their views.

    "auto" leaves out views that repeat another one: standardized where all series are standardized already, padded
    where all have one length.
    """
    steps = np.concatenate(sequences)
    mean, deviation = mean_and_deviation(steps)
    scale = scale_of(deviation, steps)
    if not isinstance(names, str):
        listed = list(names) if isinstance(names, Iterable) else []
        if not listed or not all(isinstance(name, str) and name in VIEWS for name in listed):
            raise ValueError(f"views must be 'auto' or some of {', '.join(map(repr, VIEWS))}, got {shown(names)}.")
        return Views(tuple(map(str, listed)), mean, scale)
    if names != "auto":
        raise ValueError(f"views must be 'auto' or a list of names, got {names!r}. Pass [{names!r}] for one view.")
    chosen = list(CAUSAL)
    if not all(_is_standardized(x) for x in sequences):
        chosen += ["standardized", "standardized differences"]
    if len({len(x) for x in sequences}) > 1:
        chosen.append("padded")
    return Views(tuple(chosen), mean, scale)


def _is_standardized(series: np.ndarray) -> bool:
    mean, deviation = mean_and_deviation(series)
    return bool(np.abs(mean).max() < TOLERANCE and np.abs(deviation - 1).max() < TOLERANCE)
