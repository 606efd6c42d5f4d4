"""One way to forecast: logarithm or not, differences, scaling, and a memory that predicts its next input.

Symbols: T steps, a features, n origins, H steps ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from linmem.estimators.dynamics import MemoryDynamics, fit_dynamics
from linmem.estimators.mean_squares import mean_and_deviation
from linmem.estimators.seasonality import difference, integrate
from linmem.scales import scale_of


@dataclass(frozen=True)
class ForecastModel:
    """A fitted model.

    Attributes
    ----------
    log : bool
        The model reads and forecasts log x.
    lags : tuple of int
        Lags of the differences, in order.
    mean, scale : (a,) arrays
        Of the differences in training; the scale is 1 where the differences are rounding of the values.
    dynamics : MemoryDynamics
        Predicts the scaled differences.
    """

    log: bool
    lags: tuple[int, ...]
    mean: np.ndarray
    scale: np.ndarray
    dynamics: MemoryDynamics

    def transform(self, series: np.ndarray) -> np.ndarray:
        """The series on the scale of the model."""
        if self.log and not (series > 0).all():
            raise ValueError(
                "series must be positive for a model of log x, got values at or below 0. Fit with log=False, or to "
                "such values."
            )
        return np.log(series) if self.log else series

    def inverse_transform(self, values: np.ndarray) -> np.ndarray:
        """Values of the model on the scale of the series."""
        return np.exp(values) if self.log else values

    def forecast(self, series: np.ndarray, origins: np.ndarray, steps: int) -> np.ndarray:
        """Forecasts (n, steps, a), on the scale of the model, of the steps after each origin of a (T, a) series."""
        return self._forecast(self.transform(series), origins, steps)

    def forecast_in_units(self, series: np.ndarray, origins: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Forecasts (n, a) of the step after each origin of a (T, a) series, which is divided by its own units (n, a).

        A forecast is affine in the values of the model, so one of every channel by itself serves all units. The series
        is divided by its last unit first: values far below the constant of the map would lose their digits.
        """
        last = units[-1]
        series, units = series / last, units / last

        def affine(x: np.ndarray) -> np.ndarray:
            return self._forecast(x, origins, 1)[:, 0]

        constant = affine(np.zeros_like(series))
        values, parts, weights = constant, series, 1 / units
        if self.log:  # log(x / unit) = log x − log unit
            values, parts, weights = affine(self.transform(series)), np.ones_like(series), -np.log(units)
        for channel in range(series.shape[1]):
            alone = np.zeros_like(series)
            alone[:, channel] = parts[:, channel]
            values = values + weights[:, channel, None] * (affine(alone) - constant)
        result: np.ndarray = last * units * self.inverse_transform(values)
        return result

    def _forecast(self, x: np.ndarray, origins: np.ndarray, steps: int) -> np.ndarray:
        """Do what `forecast` does, for a series on the scale of the model."""
        states = self.dynamics.states((difference(x, self.lags) - self.mean) / self.scale)
        z = self.dynamics.forecast(states[origins - sum(self.lags)], steps)
        return integrate(z * self.scale + self.mean, x, origins, self.lags)


def fit_forecast_models(
    series: Sequence[np.ndarray],
    log: bool,
    lags: tuple[int, ...],
    memory_size: int,
    lag_decay: float,
    penalties: Sequence[float],
) -> list[ForecastModel]:
    """Fit one model per penalty to (T_i, a) series."""
    values = [np.log(x) if log else x for x in series]
    differences = [difference(x, lags) for x in values]
    changes = np.concatenate(differences)
    mean, deviation = mean_and_deviation(changes)
    scale = scale_of(deviation, np.concatenate(values))
    scaled = [(z - mean) / scale for z in differences]
    return [
        ForecastModel(log, lags, mean, scale, one) for one in fit_dynamics(scaled, memory_size, lag_decay, penalties)
    ]
