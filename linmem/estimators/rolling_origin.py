"""Rolling-origin validation: forecasts of known steps by a model that was fitted to the steps before the first origin.

Symbols: T steps, a features, n origins, H steps ahead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from linmem.estimators.forecast_model import ForecastModel, fit_forecast_models
from linmem.scales import scale_of

FIRST_ORIGIN = 0.6  # share of each series before its first origin
MAX_ORIGINS = 200  # per series, evenly spaced
LEAST_STEPS = 10  # differences that a model is fitted to, at the least


def first_part(series: np.ndarray) -> np.ndarray:
    """The steps up to the first origin."""
    return series[: int(np.ceil(FIRST_ORIGIN * len(series)))]


def longest_horizon(series: Sequence[np.ndarray]) -> int:
    """The most steps ahead that some origin of the series can be validated for."""
    return max(len(x) - len(first_part(x)) for x in series)


def can_difference(series: Sequence[np.ndarray], lag: int) -> bool:
    """Whether the first part of every series holds enough differences at a lag, or a sum of lags, to fit a model."""
    return min(len(first_part(x)) for x in series) >= lag + LEAST_STEPS


def least_steps(lag: int) -> int:
    """The fewest steps of a series with which `can_difference` holds."""
    return int((lag + LEAST_STEPS - 1) / FIRST_ORIGIN) + 1


@dataclass(frozen=True)
class Choice:
    """What validation chooses."""

    log: bool
    lags: tuple[int, ...]  # of the differences
    lag_decay: float
    penalty: float


class Rolling(NamedTuple):
    """Forecasts from many origins and what they should be, (n, H, a) each, on the scale of the model."""

    forecasts: np.ndarray
    targets: np.ndarray  # NaN for steps after the end of the series


def rolling_forecasts(model: ForecastModel, series: np.ndarray, horizon: int) -> Rolling:
    """Forecast `horizon` steps from each origin of a (T, a) series."""
    first, last = len(first_part(series)) - 1, len(series) - 2
    origins = np.unique(np.linspace(first, last, min(MAX_ORIGINS, last - first + 1)).round().astype(int))
    times = origins[:, None] + 1 + np.arange(horizon)
    targets = model.transform(series)[np.minimum(times, len(series) - 1)]
    targets[times >= len(series)] = np.nan
    return Rolling(model.forecast(series, origins, horizon), targets)


def candidates(
    series: Sequence[np.ndarray],
    seasons: Sequence[int],
    memory_size: int,
    lag_decays: Sequence[float],
    penalties: Sequence[float],
    logs: Sequence[bool],
) -> Iterator[tuple[ForecastModel, Choice]]:
    """Yield models fitted to the first part of all series, with every season's differences and without."""
    train = [first_part(x) for x in series]
    differences: list[tuple[int, ...]] = [(), (1,)]
    for season in seasons:
        differences += [(season,), (season, 1)]
    for log, lags, lag_decay in product(logs, differences, lag_decays):
        if can_difference(series, sum(lags)):
            models = fit_forecast_models(train, log, lags, memory_size, lag_decay, penalties)
            for model, penalty in zip(models, penalties, strict=True):
                yield model, Choice(log, lags, lag_decay, penalty)


def mean_absolute_error(model: ForecastModel, series: Sequence[np.ndarray], horizon: int) -> float:
    """Mean absolute error of all origins and steps ahead, in units of each feature's mean absolute difference."""
    parts = []
    for x in series:
        forecasts, targets = map(model.inverse_transform, rolling_forecasts(model, x, horizon))
        unit = scale_of(np.abs(np.diff(x, axis=0)).mean(0), x)
        parts.append(np.nanmean(np.abs(targets - forecasts) / unit))
    return float(np.mean(parts))
