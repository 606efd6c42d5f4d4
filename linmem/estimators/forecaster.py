"""`MemoryForecaster`: continues series by a linear memory that predicts its next input, with prediction intervals.

Symbols: T steps, a features, H steps ahead.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from linmem.estimators.forecast_model import ForecastModel, fit_forecast_models
from linmem.estimators.forecast_stream import ForecastStream, start_stream
from linmem.estimators.intervals import conformal_widths
from linmem.estimators.memory_parameters import holds_numbers
from linmem.estimators.rolling_origin import (
    Choice,
    can_difference,
    candidates,
    first_part,
    least_steps,
    longest_horizon,
    mean_absolute_error,
    rolling_forecasts,
)
from linmem.estimators.saving import Saved
from linmem.estimators.seasonality import find_seasons
from linmem.estimators.series import read_one_or_several, read_step
from linmem.estimators.step_size import step_size, typical_step_size
from linmem.storage.limits import require_size
from linmem.validation import check_count, shown

PENALTIES = tuple(10.0**power for power in range(-6, 2))
DEFAULT_HORIZON = 12
LEAST_STEPS = 20  # of each series


class Interval(NamedTuple):
    """Lower and upper bounds, shaped like the forecast."""

    lower: Any
    upper: Any


End = tuple[ForecastStream, np.ndarray]  # of a series, and its unit (a,)


class MemoryForecaster(Saved, BaseEstimator):
    """Forecaster of one or several series; solved in closed form, with intervals.

    A linear memory of the differenced series predicts the next input by ridge regression; predictions are fed back for
    more steps. Logarithm, differences, lag decay and penalty are chosen by rolling-origin validation on the last 40 %
    of the steps, and the chosen model is fitted again to all of them. Several series are modelled in units of their
    own root mean square difference, so that their scales may differ.

    Parameters
    ----------
    horizon : int, optional
        Steps ahead that validation looks at. By default the season, or 12 without one, but at most a quarter of the
        shortest series. Forecasts of more steps warn. At most the last 40 % of the longest series.
    season : int, "auto" or None, default "auto"
        Steps of one season. "auto" takes the highest peak of the autocorrelation of the differences, and up to three
        longer ones where it is nearer to 1, and chooses among them by validation. A season needs 10 steps more than
        its length in the first 60 % of each series; a given one that has fewer is not used, and `fit` warns.
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
        The season in use, 1 without one, and the steps ahead of validation.
    typical_step_size_ : (a,) array or None
        Mean root mean square difference of several series: the unit of series in `predict` that are constant or have
        fewer than 10 differences. None for a model of one series, which has one unit for all.
    memory_size_ : int or None
        `memory_size` of the fit; None in files of versions that did not keep it.
    streams_ : list of ForecastStream or None
        The ends of the fitted series with the steps of `update`, which `save` keeps; None before the first use.
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
    streams_: list[ForecastStream] | None = None
    typical_step_size_: np.ndarray | None = None  # also where a file does not hold it
    memory_size_: int | None = None

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
        sequences, single, flat = self.read(series)
        longest = min(map(len, sequences)) // 4
        seasons = self._seasons(sequences, longest)
        typical = typical_step_size(sequences) if len(sequences) > 1 else None
        scaled = [x / _unit(x, typical) for x in sequences]
        default = seasons[0] if seasons else DEFAULT_HORIZON
        horizon = min(default, longest) if self.horizon is None else int(self.horizon)
        error, model, choice = self._choose(scaled, seasons, horizon)
        season = max((lag for lag in choice.lags if lag > 1), default=seasons[0] if seasons else 1)
        if self.horizon is None and season > default:  # a longer season than that of the highest peak
            horizon = season
            error, model, choice = self._choose(scaled, (season,), horizon)
        rolling = [rolling_forecasts(model, x, horizon) for x in scaled]
        (fitted,) = fit_forecast_models(
            scaled, choice.log, choice.lags, self.memory_size, choice.lag_decay, [choice.penalty]
        )
        self.residuals_ = np.concatenate([targets - forecasts for forecasts, targets in rolling])
        self.series_, self.single_, self.flat_, self.n_features_in_ = sequences, single, flat, sequences[0].shape[1]
        self.season_, self.horizon_, self.validation_error_ = season, horizon, error
        self.choice_, self.model_, self.typical_step_size_ = choice, fitted, typical
        self.memory_size_ = self.memory_size
        return self.reset()

    def _seasons(self, sequences: list[np.ndarray], longest: int) -> tuple[int, ...]:
        """The seasons to choose from: those whose differences leave enough steps before the first origin."""
        if isinstance(self.season, str):  # "auto"
            return tuple(
                one for one in find_seasons(max(sequences, key=len), longest) if can_difference(sequences, one)
            )
        if self.season is None or self.season == 1:
            return ()
        season = int(self.season)
        if can_difference(sequences, season):
            return (season,)
        warnings.warn(
            f"season={season} is not used, because it needs series of at least {least_steps(season)} steps, got "
            f"{min(map(len, sequences))}. Fit to longer series, or pass a shorter season or None.",
            stacklevel=3,
        )
        return ()

    def _choose(
        self, sequences: list[np.ndarray], seasons: tuple[int, ...], horizon: int
    ) -> tuple[float, ForecastModel, Choice]:
        """The least validation error, its model fitted to the first part of the series, and its choice."""
        settings = (seasons, self.memory_size, self.lag_decays, self.penalties, self._logs(sequences))
        scored = (
            (mean_absolute_error(model, sequences, horizon), model, choice)
            for model, choice in candidates(sequences, *settings)
        )
        best = min(scored, key=lambda one: one[0] if np.isfinite(one[0]) else np.inf)
        if not np.isfinite(best[0]):
            raise ValueError(
                f"series must have forecasts that stay finite for {horizon} steps, got none. Lower horizon, or check "
                "the series for extreme values."
            )
        return best

    def predict(self, steps: int, series: Any = None) -> Any:
        """Return the next `steps` values, (steps,) or (steps, a) as in fit; a list for a list.

        They continue the fitted series and the steps of `update`, or another `series` in the form of those of `fit`.
        """
        ends, shaped = self._ends(steps, series)
        return shaped([unit * self.model_.inverse_transform(x.forecast(self.model_, steps)) for x, unit in ends])

    def predict_interval(self, steps: int, coverage: float = 0.9, series: Any = None) -> Interval:
        """Return bounds that hold each of the next values with probability `coverage`.

        The half-width at each step ahead is the split-conformal quantile of the absolute validation errors at that
        step, on the scale of the model: for a model of log x the bounds are factors, for one of several series the
        errors are in units of each series' root mean square difference. Errors of neighbouring origins are correlated
        and the model is chosen on them, so the coverage is approximate; see docs/guide/estimators.md for measured
        coverage.
        """
        ends, shaped = self._ends(steps, series)
        width, inverse = conformal_widths(self._errors(steps), coverage), self.model_.inverse_transform
        forecasts = [(x.forecast(self.model_, steps), unit) for x, unit in ends]
        lower, upper = ([unit * inverse(x + sign * width) for x, unit in forecasts] for sign in (-1, 1))
        return Interval(shaped(lower), shaped(upper))

    def update(self, x_t: Any) -> Any:
        """Read the next step (a,) of the fitted series; return the forecast of the one after it, (a,) or a number.

        The model stays as fitted. `predict` and `predict_interval` continue after the last step that was read. Time
        and memory are constant per step.

        Raises
        ------
        ValueError
            The model was fitted to several series, or `x_t` has not its features or is not finite.
        """
        stream = self._one_stream("update")
        stream.update(self.model_, read_step(x_t, self.n_features_in_))
        return self._following(stream)

    def reset(self) -> MemoryForecaster:
        """Return to the end of the fitted series."""
        self.streams_ = None
        return self

    def _one_stream(self, method: str) -> ForecastStream:
        """The stream of the only fitted series, for a method of streams."""
        check_is_fitted(self, "model_")
        if len(self.series_) != 1:
            raise ValueError(f"{method} must have one fitted series, got {len(self.series_)}. Pass series to predict.")
        return self._current()[0]

    def _following(self, stream: ForecastStream) -> Any:
        """The forecast of the step after a stream, (a,) or a number."""
        following = self.model_.inverse_transform(stream.forecast(self.model_, 1))[0]
        return float(following[0]) if self.flat_ else following

    def _errors(self, steps: int) -> np.ndarray:
        """Validation errors (n, steps, a); beyond the horizon, those of the chosen model fitted before validation."""
        if steps > (longest := longest_horizon(self.series_)):
            raise ValueError(f"steps must be at most {longest} for intervals, got {steps}. Fit to a longer series.")
        if steps <= self.horizon_:
            return self.residuals_[:, :steps]
        best, scaled = self.choice_, [x / self._unit(x) for x in self.series_]
        train = [first_part(x) for x in scaled]
        size = self.memory_size if self.memory_size_ is None else self.memory_size_
        (model,) = fit_forecast_models(train, best.log, best.lags, size, best.lag_decay, [best.penalty])
        rolling = [rolling_forecasts(model, x, steps) for x in scaled]
        return np.concatenate([targets - forecasts for forecasts, targets in rolling])

    def _current(self) -> list[ForecastStream]:
        """The fitted series with the steps of `update`."""
        if self.streams_ is None:
            self.streams_ = [start_stream(self.model_, x / self._unit(x)) for x in self.series_]
        return self.streams_

    def _unit(self, series: np.ndarray) -> np.ndarray:
        """What a (T, a) series is divided by, (a,)."""
        return _unit(series, self.typical_step_size_)

    def _ends(self, steps: int, series: Any) -> tuple[list[End], Callable[[list[np.ndarray]], Any]]:
        """The ends of the series to forecast, and the map of values (steps, a) of each to the form of the input."""
        check_is_fitted(self, "model_")
        steps = check_count("steps", steps)
        require_size(8 * steps * self.n_features_in_, "the forecast")
        if steps > self.horizon_:
            warnings.warn(
                f"{steps} steps are more than the validated horizon ({self.horizon_}); errors further ahead did not "
                f"count when the model was chosen. Fit with horizon={steps} (linmem train --horizon {steps}).",
                stacklevel=3,
            )
        if series is None:
            ends = zip(self._current(), map(self._unit, self.series_), strict=True)
            return list(ends), self._shaped(self.single_, self.flat_)
        given, single, flat = read_one_or_several(series, self.layout, self.n_features_in_)
        units = [self._unit(x) for x in given]
        streams = [start_stream(self.model_, x / unit) for x, unit in zip(given, units, strict=True)]
        return list(zip(streams, units, strict=True)), self._shaped(single, flat)

    def _shaped(self, single: bool, flat: bool) -> Callable[[list[np.ndarray]], Any]:
        """A function from values (steps, a) per series to the form of the series that are continued."""

        def shaped(values: list[np.ndarray]) -> Any:
            parts = [x[:, 0] if flat else x.T if self.layout == "ct" else x for x in values]
            return parts[0] if single else parts

        return shaped

    def _logs(self, sequences: list[np.ndarray]) -> list[bool]:
        positive = all((x > 0).all() for x in sequences)
        if isinstance(self.log, str):  # "auto"
            return [False, True] if positive else [False]
        if self.log and not positive:
            raise ValueError("series must be positive for log=True, got values at or below 0. Use log='auto'.")
        return [bool(self.log)]

    def read(self, series: Any) -> tuple[list[np.ndarray], bool, bool]:
        """Check the parameters and the series of a fit, as `fit` does before it computes anything.

        Returns
        -------
        sequences, single, flat : list of (T, a) arrays, bool, bool
            The series, whether it was one, and whether the first was a vector.

        Raises
        ------
        ValueError
            A parameter has no meaning, a series is too short or not finite, or validation cannot see `horizon` steps.
        """
        self._check_parameters()
        sequences, single, flat = read_one_or_several(series, self.layout, min_length=LEAST_STEPS)
        if self.horizon is not None and self.horizon > (longest := longest_horizon(sequences)):
            raise ValueError(
                f"horizon must be at most {longest}, the last 40 % of the series, got {self.horizon}. Lower horizon, "
                "or fit to a longer series."
            )
        return sequences, single, flat

    def _check_parameters(self) -> None:
        """Raise ValueError for a parameter that has no meaning."""
        if self.horizon is not None:
            check_count("horizon", self.horizon)
        auto = isinstance(self.season, str) and self.season == "auto"
        whole = isinstance(self.season, Integral) and not isinstance(self.season, bool)
        if not (auto or self.season is None or (whole and int(self.season) >= 1)):
            raise ValueError(f"season must be an integer of at least 1, 'auto' or None, got {shown(self.season)}.")
        if not (isinstance(self.log, bool | np.bool_) or (isinstance(self.log, str) and self.log == "auto")):
            raise ValueError(f"log must be True, False or 'auto', got {shown(self.log)}.")
        for name in ("lag_decays", "penalties"):
            if not holds_numbers(getattr(self, name)):
                raise ValueError(f"{name} must hold at least one number, got {shown(getattr(self, name))}.")


def _unit(series: np.ndarray, typical: np.ndarray | None) -> np.ndarray:
    """The step size (a,) of a (T, a) series, `typical` where it is not known; 1 without `typical`."""
    if typical is None:
        return np.ones(series.shape[1])
    size = step_size(series)
    return np.where(np.isnan(size), typical, size)
