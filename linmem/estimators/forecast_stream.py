"""The end of a series as its forecast needs it: the state of the memory, and the values that the differences read.

Symbols: a features, p memory units, L sum of the lags of the differences, H steps ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linmem.estimators.forecast_model import ForecastModel
from linmem.estimators.mean_squares import standardize
from linmem.estimators.seasonality import difference, integrate


@dataclass
class ForecastStream:
    """A series up to its last step, extended by `update`; one step costs O(p² + (p + L) a) and no memory.

    Attributes
    ----------
    state : (1, p) array
        Of the memory, after the last step.
    recent : (L, a) array
        The last steps, on the scale of the model.
    """

    state: np.ndarray
    recent: np.ndarray

    def update(self, model: ForecastModel, x_t: np.ndarray) -> None:
        """Read the next step (a,)."""
        if model.log and not (x_t > 0).all():
            raise ValueError(f"x_t must be positive for a model of log x, got {x_t.tolist()}. Fit with log=False.")
        steps = np.concatenate([self.recent, model.transform(x_t)[None]])
        scaled = standardize(difference(steps, model.lags), model.mean, model.scale)
        self.state = model.dynamics.advance(self.state, scaled)
        self.recent = steps[len(steps) - len(self.recent) :]

    def forecast(self, model: ForecastModel, steps: int) -> np.ndarray:
        """The next values (steps, a), on the scale of the model."""
        origin = np.array([sum(model.lags) - 1])
        z = model.dynamics.forecast(self.state, steps)
        values: np.ndarray = integrate(z * model.scale + model.mean, self.recent, origin, model.lags)[0]
        return values


def start_stream(model: ForecastModel, series: np.ndarray) -> ForecastStream:
    """The stream after a (T, a) series of at least L steps."""
    length = sum(model.lags)
    if len(series) < max(length, 1):
        raise ValueError(f"series must have at least {max(length, 1)} steps, got {len(series)}.")
    x = model.transform(series)
    scaled = standardize(difference(x, model.lags), model.mean, model.scale)
    state = model.dynamics.states(scaled)[-1:] if len(scaled) else np.zeros((1, len(model.dynamics.B)))
    return ForecastStream(state, x[len(x) - length :])
