"""`MemoryForecaster`: continues series by a linear memory that predicts its next input, with prediction intervals.

Symbols: T steps, a features, H steps ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from linmem.estimators.forecast_model import ForecastModel, fit_forecast_models
from linmem.estimators.rolling_origin import Choice, candidates, mean_absolute_error, rolling_forecasts
from linmem.estimators.saving import Saved
from linmem.estimators.seasonality import find_season
from linmem.estimators.series import read_one_or_several

PENALTIES = tuple(10.0**power for power in range(-6, 2))
DEFAULT_HORIZON = 12


class Interval(NamedTuple):
    """Lower and upper bounds, shaped like the forecast."""

    lower: Any
    upper: Any


class MemoryForecaster(Saved, BaseEstimator):
    """Forecaster of one or several series; solved in closed form, with intervals.

    A linear memory of the differenced series predicts the next input by ridge regression; predictions are fed back for
    more steps. Logarithm, differences, lag decay and penalty are chosen by rolling-origin validation on the last 40 %
    of the steps, and the chosen model is fitted again to all of them.

    Parameters
    ----------
    horizon : int, optional
        Steps ahead that validation looks at, and the most that `predict_interval` gives. By default the season, or 12
        without one, but at most a quarter of the shortest series.
    season : int, "auto" or None, default "auto"
        Steps of one season. "auto" takes the peak of the autocorrelation of the differences.
    memory_size : int, default 50
        The most memory units.
    lag_decays : sequence of float, default (0.7, 0.9, 0.97)
        Lag decays to choose from.
    penalties : sequence of float, default 1e-6 ... 10
        Ridge penalties to choose from, relative to the mean energy of a memory unit.
    log : bool or "auto", default "auto"
        Model log x. "auto" chooses, where all values are positive.
    layout : {"tc", "ct"}, default "tc"
        (time, channels), or (channels, time) as in aeon and sktime.

    Attributes
    ----------
    choice_ : Choice
        What validation chose.
    model_ : ForecastModel
        The chosen model, fitted to all steps.
    season_, horizon_ : int
    validation_error_ : float
        Mean absolute error of the choice, in units of the mean absolute difference of the series.

    Examples
    --------
    >>> import numpy as np
    >>> from linmem import MemoryForecaster
    >>> series = np.sin(0.5 * np.arange(200)) + 0.01 * np.arange(200)
    >>> forecast = MemoryForecaster().fit(series[:180]).predict(20)
    >>> bool(np.abs(forecast - series[180:]).max() < 0.05)
    True
    """

    choice_: Choice
    model_: ForecastModel
    residuals_: np.ndarray

    def __init__(
        self,
        horizon: int | None = None,
        season: int | str | None = "auto",
        memory_size: int = 50,
        lag_decays: Sequence[float] = (0.7, 0.9, 0.97),
        penalties: Sequence[float] = PENALTIES,
        log: bool | str = "auto",
        layout: str = "tc",
    ) -> None:
        self.horizon = horizon
        self.season = season
        self.memory_size = memory_size
        self.lag_decays = lag_decays
        self.penalties = penalties
        self.log = log
        self.layout = layout

    def fit(self, series: Any, y: Any = None) -> MemoryForecaster:
        """Fit to one (T,) or (T, a) series or a list of them, of at least 20 steps each; `y` is ignored."""
        self._check_parameters()
        self.series_, self.single_ = read_one_or_several(series, self.layout, min_length=20)
        self.flat_ = _is_flat(series if self.single_ else series[0])
        shortest = min(self.series_, key=len)
        self.season_ = self.season if isinstance(self.season, int) else 1
        if self.season == "auto":
            self.season_ = find_season(max(self.series_, key=len), len(shortest) // 4)
        default = self.season_ if self.season_ > 1 else DEFAULT_HORIZON
        self.horizon_ = min(default, len(shortest) // 4) if self.horizon is None else self.horizon
        settings = (self.season_, self.memory_size, self.lag_decays, self.penalties, self._logs())
        scored = (
            (mean_absolute_error(model, self.series_, self.horizon_), model, choice)
            for model, choice in candidates(self.series_, *settings)
        )
        self.validation_error_, model, self.choice_ = min(scored, key=lambda one: one[0])
        rolling = [rolling_forecasts(model, x, self.horizon_) for x in self.series_]
        self.residuals_ = np.concatenate([targets - forecasts for forecasts, targets in rolling])
        best = self.choice_
        (self.model_,) = fit_forecast_models(
            self.series_, best.log, best.lags, self.memory_size, best.lag_decay, [best.penalty]
        )
        return self

    def predict(self, steps: int) -> Any:
        """Return the next `steps` values, (steps,) or (steps, a) as in fit; a list for a list."""
        return self._returned([self.model_.inverse_transform(x) for x in self._forecasts(steps)])

    def predict_interval(self, steps: int, coverage: float = 0.9) -> Interval:
        """Return bounds that hold each of the next values with probability `coverage`.

        The half-width at each step ahead is the split-conformal quantile of the absolute validation errors at that
        step, on the scale of the model: for a model of log x the bounds are factors. Errors of neighbouring origins
        are correlated and the model is chosen on them, so the coverage is approximate; see docs/guide/estimators.md for
        measured coverage.
        """
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must be between 0 and 1, got {coverage}.")
        forecasts = self._forecasts(steps)
        if steps > self.horizon_:
            raise ValueError(
                f"steps must be at most horizon ({self.horizon_}), got {steps}. Fit with a larger horizon."
            )
        errors = np.abs(self.residuals_[:, :steps])
        count = (~np.isnan(errors)).sum(0)
        share = np.minimum(np.ceil((count + 1) * coverage) / count, 1)
        width = np.array(
            [
                [np.nanquantile(errors[:, h, c], share[h, c], method="higher") for c in range(errors.shape[2])]
                for h in range(steps)
            ]
        )
        inverse = self.model_.inverse_transform
        lower, upper = ([inverse(x + sign * width) for x in forecasts] for sign in (-1, 1))
        return Interval(self._returned(lower), self._returned(upper))

    def _forecasts(self, steps: int) -> list[np.ndarray]:
        """(steps, a) for each series, on the scale of the model."""
        check_is_fitted(self, "model_")
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}.")
        return [self.model_.forecast(x, np.array([len(x) - 1]), steps)[0] for x in self.series_]

    def _returned(self, values: list[np.ndarray]) -> Any:
        """Values (steps, a) per series in the form that `fit` read."""
        shaped = [x[:, 0] if self.flat_ else x.T if self.layout == "ct" else x for x in values]
        return shaped[0] if self.single_ else shaped

    def _logs(self) -> list[bool]:
        positive = all((x > 0).all() for x in self.series_)
        if self.log is True and not positive:
            raise ValueError("series must be positive for log=True, got values at or below 0. Use log='auto'.")
        return [False, True] if self.log == "auto" and positive else [self.log is True]

    def _check_parameters(self) -> None:
        if self.horizon is not None and self.horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {self.horizon}.")
        if not (self.season in ("auto", None) or (isinstance(self.season, int) and self.season >= 1)):
            raise ValueError(f"season must be an integer, 'auto' or None, got {self.season!r}.")
        if self.log not in (True, False, "auto"):
            raise ValueError(f"log must be True, False or 'auto', got {self.log!r}.")
        if not len(self.lag_decays) or not len(self.penalties):
            raise ValueError("lag_decays and penalties must hold at least one number each, got none.")


def _is_flat(series: Any) -> bool:
    """Whether a series is given as a vector."""
    return getattr(series, "ndim", None) == 1 or (isinstance(series, list | tuple) and np.ndim(series[0]) == 0)
