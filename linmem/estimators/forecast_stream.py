"""The end of a series as its forecast needs it: the state of the memory, and the values that the differences read.

Symbols: a features, p memory units, L sum of the lags of the differences, H steps ahead.
"""

from __future__ import annotations

import numpy as np

from linmem.estimators.forecast_model import ForecastModel
from linmem.estimators.seasonality import difference, integrate


class ForecastStream:
    """A series up to its last step, extended by `update`; one step costs O(p² + (p + L) a) and no memory.

    Parameters
    ----------
    model : ForecastModel
        The fitted model.
    series : (T, a) array
        The steps so far, at least L.
    """

    def __init__(self, model: ForecastModel, series: np.ndarray) -> None:
        self._model, self._length = model, sum(model.lags)
        if len(series) < max(self._length, 1):
            raise ValueError(f"series must have at least {max(self._length, 1)} steps, got {len(series)}.")
        x = model.transform(series)
        scaled = (difference(x, model.lags) - model.mean) / model.scale
        p = len(model.dynamics.B)
        self._state = model.dynamics.states(scaled)[-1:] if len(scaled) else np.zeros((1, p))
        self._recent = x[len(x) - self._length :]

    def update(self, x_t: np.ndarray) -> None:
        """Read the next step (a,)."""
        if self._model.log and not (x_t > 0).all():
            raise ValueError(f"x_t must be positive for a model of log x, got {x_t.tolist()}. Fit with log=False.")
        steps = np.concatenate([self._recent, self._model.transform(x_t)[None]])
        scaled = (difference(steps, self._model.lags) - self._model.mean) / self._model.scale
        self._state = self._model.dynamics.advance(self._state, scaled)
        self._recent = steps[len(steps) - self._length :]

    def forecast(self, steps: int) -> np.ndarray:
        """The next values (steps, a), on the scale of the model."""
        model, origin = self._model, np.array([self._length - 1])
        z = model.dynamics.forecast(self._state, steps)
        values: np.ndarray = integrate(z * model.scale + model.mean, self._recent, origin, model.lags)[0]
        return values
