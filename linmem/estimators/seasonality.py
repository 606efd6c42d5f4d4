"""Differences that make a series stationary, and their inverse for forecasts.

    none: z_t = x_t · first: z_t = x_t − x_{t-1} · seasonal: z_t = x_t − x_{t-m} · both: the first after the seasonal

Symbols: T steps, a features, m season, n origins, H steps ahead.
"""

from __future__ import annotations

import numpy as np

from linmem.estimators.mean_squares import factor_of

MINIMAL_CORRELATION = 0.3  # a lower autocorrelation at its peak is no season
MOST_LONGER = 3  # candidates besides the highest peak
NEARER = 0.8


def difference(series: np.ndarray, lags: tuple[int, ...]) -> np.ndarray:
    """Differences of a (T, a) series at each of the lags in turn: (T − Σ lags, a)."""
    for lag in lags:
        series = series[lag:] - series[:-lag]
    return series


def integrate(forecast: np.ndarray, series: np.ndarray, origins: np.ndarray, lags: tuple[int, ...]) -> np.ndarray:
    """Undo `difference` for forecasts (n, H, a) of the steps after each origin, the index of its last known step."""
    if not lags:
        return forecast
    inner = difference(series, lags[:-1])
    lag, offset = lags[-1], sum(lags[:-1])
    result = forecast.copy()
    for h in range(forecast.shape[1]):
        past = inner[origins - offset + 1 + h - lag] if h < lag else result[:, h - lag]
        result[:, h] = forecast[:, h] + past
    return integrate(result, series, origins, lags[:-1])


def find_seasons(series: np.ndarray, longest: int) -> tuple[int, ...]:
    """Lags of 2 … `longest` that may be seasons of a (T, a) series, from the autocorrelation of its differences.

    The first has the highest peak. Others are longer, up to `MOST_LONGER`, where the correlation of the steps that have
    both values is nearer to 1 than at the ones before by the factor `NEARER`, as at a week of half hours after a day.
    At multiples of a season it is not, but for noise.

    Examples
    --------
    >>> t = np.arange(2000)
    >>> days = np.sin(2 * np.pi * t / 10) * np.where(t % 70 < 50, 1.0, 0.6)  # five days of seven, and two others
    >>> noise = 0.05 * np.random.default_rng(0).standard_normal(2000)
    >>> find_seasons((days + noise)[:, None], 500)
    (10, 70)
    """
    z = np.diff(series, axis=0)
    z = (z - z.mean(0)) * factor_of(z)
    spectrum = np.fft.rfft(z, 2 * len(z), axis=0)
    correlation = np.fft.irfft((np.abs(spectrum) ** 2).sum(1))[: longest + 2]
    if correlation[0] <= 0 or len(correlation) < 4:
        return ()
    correlation = correlation / correlation[0]
    energy = np.concatenate([[0.0], (z**2).sum(1).cumsum()])
    lags = np.arange(len(correlation))  # z_t and z_{t-lag} at the steps that have both
    both = np.sqrt((energy[-1] - energy[lags]) * energy[::-1][lags])
    overlap = correlation * energy[-1] / np.maximum(both, 1e-12 * energy[-1])
    inner = correlation[2:-1]
    peaks = 2 + np.flatnonzero((inner > correlation[1:-2]) & (inner >= correlation[3:]) & (inner > MINIMAL_CORRELATION))
    if not len(peaks):
        return ()
    first = peaks[correlation[peaks].argmax()]
    found = [int(first)]
    for lag in peaks[peaks > first]:
        if 1 - overlap[lag] < NEARER * (1 - overlap[found[-1]]) and len(found) <= MOST_LONGER:
            found.append(int(lag))
    return tuple(found)
