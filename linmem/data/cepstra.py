"""Mel-frequency cepstra: 13 features of speech every 10 ms [Davis & Mermelstein 1980].

Pre-emphasis, Hamming windows, power spectrum, triangular filters of equal width in mel, logarithm, cosine transform.

Symbols: n samples, T frames.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

WINDOW, HOP = 0.025, 0.010  # seconds
FILTERS, COEFFICIENTS = 26, 13
EMPHASIS = 0.97
FLOOR = 1e-10  # of the power in a filter, so that the logarithm of silence is finite


def mel_cepstra(samples: np.ndarray, rate: int) -> np.ndarray:
    """Compute mel-frequency cepstra.

    Parameters
    ----------
    samples : ndarray
        (n,) samples of the signal.
    rate : int
        Samples per second.

    Returns
    -------
    ndarray
        (T, 13), T = 1 + ⌊(n − window) / hop⌋. The first feature is the loudness.

    Raises
    ------
    ValueError
        The signal is shorter than one window.

    Examples
    --------
    >>> mel_cepstra(np.zeros(16_000), 16_000).shape
    (98, 13)
    """
    window, hop = round(WINDOW * rate), round(HOP * rate)
    if len(samples) < window:
        raise ValueError(f"samples must hold at least one window ({window}), got {len(samples)}. Use a longer signal.")
    emphasized = np.append(samples[:1], samples[1:] - EMPHASIS * samples[:-1])
    frames = np.lib.stride_tricks.sliding_window_view(emphasized, window)[::hop] * np.hamming(window)
    size = 1 << (window - 1).bit_length()
    power = np.abs(scipy.fft.rfft(frames, size)) ** 2 / size
    energy = np.log(np.maximum(power @ mel_filters(size, rate).T, FLOOR))
    return scipy.fft.dct(energy, norm="ortho")[:, :COEFFICIENTS]


def mel_filters(size: int, rate: int) -> np.ndarray:
    """Return (26, size / 2 + 1) triangular filters over the bins of a transform; each begins at the peak before."""
    edges = _hertz(np.linspace(0, _mel(rate / 2), FILTERS + 2))
    bins = np.arange(size // 2 + 1) * rate / size
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.maximum(0, np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak)))


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)
