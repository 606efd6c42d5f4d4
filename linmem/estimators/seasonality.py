"""Differences that make a series stationary, and their inverse for forecasts.

    none: z_t = x_t · first: z_t = x_t − x_{t-1} · seasonal: z_t = x_t − x_{t-m} · both: the first after the seasonal

Symbols: T steps, a features, m season, n origins, H steps ahead.
"""

from __future__ import annotations

import numpy as np

MINIMAL_CORRELATION = 0.3  # a lower autocorrelation at its peak is no season


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


def find_season(series: np.ndarray, longest: int) -> int:
    """The lag of 2 … `longest` at the highest peak of the differences' autocorrelation; 1 where there is none."""
    z = np.diff(series, axis=0)
    z = z - z.mean(0)
    spectrum = np.fft.rfft(z, 2 * len(z), axis=0)
    correlation = np.fft.irfft((np.abs(spectrum) ** 2).sum(1))[: longest + 2]
    if correlation[0] <= 0 or len(correlation) < 4:
        return 1
    correlation = correlation / correlation[0]
    inner = correlation[2:-1]
    peaks = (inner > correlation[1:-2]) & (inner >= correlation[3:]) & (inner > MINIMAL_CORRELATION)
    if not peaks.any():
        return 1
    return 2 + int(np.where(peaks, inner, -np.inf).argmax())
