"""`MemoryRegressor`: memory features, then ridge regression to one number, or several, per series.

Symbols: n series, o outputs, d features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from linmem.estimators.predictor import MemoryPredictor
from linmem.estimators.series import as_real_numbers, refuse_masked

LEAST_TARGET, LARGEST_TARGET = 1e-100, 1e100  # squares beyond them vanish or overflow


class MemoryRegressor(RegressorMixin, MemoryPredictor):
    """Regressor from ragged multivariate series to numbers; everything is solved in closed form.

    Several outputs share the weights of the features and the strength of the ridge, chosen by their errors in units of
    each one's standard deviation.

    Parameters
    ----------
    decays, memory_size, n_projections, max_lags, memory, views, layout
        As in `MemoryFeatures`.
    n_landmarks : int, default 2000
        The most series for which the ridge is solved exactly; see `MemoryClassifier`.
    random_state : int, RandomState or None, default 0
        Seed of the projections and the landmarks.

    Attributes
    ----------
    features_ : MemoryFeatures
        The fitted features.

    Examples
    --------
    >>> import numpy as np
    >>> from linmem import MemoryRegressor
    >>> frequencies = np.linspace(0.2, 0.8, 40)
    >>> series = [np.sin(frequency * np.arange(60)) for frequency in frequencies]
    >>> regressor = MemoryRegressor(n_projections=500).fit(series[::2], frequencies[::2])
    >>> regressor.score(series[1::2], frequencies[1::2]) > 0.99
    True
    """

    single_: bool
    _own_units = True

    def fit(self, sequences: Any, y: Any) -> MemoryRegressor:
        """Fit to (T_i, a) series and (n,) or (n, o) numbers; earlier batches of `partial_fit` are forgotten."""
        targets = _targets(y)
        self._fit(sequences, _columns(targets))
        self.single_ = targets.ndim == 1
        return self

    def partial_fit(self, sequences: Any, y: Any) -> MemoryRegressor:
        """Add series to the fit.

        The ridge is that of all series so far. Memories, scales and block weights are fitted to at least half of them,
        until `n_landmarks` series have been added; until then the series are kept. They stay from then on, for any
        division into batches. A call after a `fit` to at most `n_landmarks` series starts again; one after a `fit` to
        more of them adds to it. The stream of `update` starts again, too.
        """
        targets = _targets(y)
        if getattr(self, "sums_", None) is not None:
            self._check_outputs(targets)
        self._partial_fit(sequences, _columns(targets))
        self.single_ = targets.ndim == 1
        return self

    def predict(self, sequences: Any) -> np.ndarray:
        """Return (n,) or (n, o) numbers, as in fit."""
        outputs = self._outputs(sequences)
        return outputs[:, 0] if self.single_ else outputs

    def update(self, x_t: Any) -> Any:
        """Return the prediction for a stream up to its next step (a,), in constant time and memory.

        It is that of `predict` on the steps since `reset`. The views must be "scaled" or "scaled differences".
        """
        outputs = self._update_outputs(x_t)[0]
        return float(outputs[0]) if self.single_ else outputs

    def _check_outputs(self, targets: np.ndarray) -> None:
        """Refuse targets of another shape than those of the calls that `partial_fit` adds to."""
        outputs = len(self.map_.intercept)
        if targets.shape[1:] != (() if self.single_ else (outputs,)):
            expected = "(n,)" if self.single_ else f"(n, {outputs})"
            raise ValueError(
                f"y must have shape {expected} as in earlier calls, got {targets.shape}. Reshape it, or start with fit."
            )


def _targets(y: Any) -> np.ndarray:
    """Check `y`; returns (n,) or (n, o) float64."""
    refuse_masked("y", y)
    targets = as_real_numbers("y", y)
    if targets.ndim not in (1, 2) or targets.shape[1:] == (0,):
        raise ValueError(f"y must have shape (n,) or (n, o), got {targets.shape}.")
    if not np.isfinite(targets).all():
        place = np.argwhere(~np.isfinite(targets))[0].tolist()
        raise ValueError(f"y must be finite, got {targets[tuple(place)]} for series {place[0]}. Leave it out.")
    largest = float(np.abs(targets).max(initial=0))
    if largest and not LEAST_TARGET <= largest <= LARGEST_TARGET:
        raise ValueError(
            f"the largest of y must be 0 or between {LEAST_TARGET:g} and {LARGEST_TARGET:g} in size, got {largest:.3g}."
            " Multiply y by a constant."
        )
    return targets


def _columns(targets: np.ndarray) -> np.ndarray:
    return targets[:, None] if targets.ndim == 1 else targets
