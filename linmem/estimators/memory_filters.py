"""Memories of several lag decays from one pass: finite causal filters y_t = Fᵀ [x_t, x_{t-1}, …] with whitened states.

With ξ_t = [x_t, γ x_{t-1}, γ² x_{t-2}, …] and G the second moments of [x_t, x_{t-1}, …], those of ξ are D G D with
D = diag(γ^i): one Gram matrix serves all decays. Its leading eigenvectors U give the linear autoencoder with lag decay,
A = U_0ᵀ, B = γ Σ U_{i+1}ᵀ U_i, whose response to an impulse is D U up to the truncation at γ^K = 0.01.

Symbols: T steps, a features, K lags, p memory units, γ lag decay.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.linalg import eigh

from linmem.autoencoder.history.gram_matrix import gram_matrix

CHUNK_STEPS = 1024  # steps processed at once, which bounds the working memory
TRUNCATION = 0.01  # lags are kept while γ^i is above this
MEMORIES = ("solved", "random", "delay")


def count_lags(decay: float) -> int:
    """K = ⌈log 0.01 / log γ⌉, the lags that a decay keeps."""
    return int(np.ceil(np.log(TRUNCATION) / np.log(decay)))


def lag_rows(series: np.ndarray, start: int, stop: int, lags: int) -> np.ndarray:
    """Rows [x_t, x_{t-1}, …, x_{t-K+1}] for t in start … stop − 1, zeros before the series: (stop − start, K·a)."""
    first = start - lags + 1
    padded = series[max(0, first) : stop]
    if first < 0:
        padded = np.concatenate([np.zeros((-first, series.shape[1]), series.dtype), padded])
    windows = np.lib.stride_tricks.sliding_window_view(padded, lags, axis=0)  # (rows, a, K), oldest first
    return windows[:, :, ::-1].transpose(0, 2, 1).reshape(len(windows), -1)


def lag_gram(sequences: Sequence[np.ndarray], lags: int) -> np.ndarray:
    """G, (K·a, K·a): mean over all steps of the outer products of the rows, in one pass."""
    tensors = [torch.from_numpy(series.astype(np.float64)) for series in sequences]
    longest = max(map(len, sequences))
    return gram_matrix(tensors, lags, longest).numpy() / sum(map(len, sequences))


def memory_filters(
    gram: np.ndarray, decay: float, lags: int, size: int, memory: str, rng: np.random.Generator
) -> np.ndarray:
    """F, (K·a, p) float32, scaled to states of unit variance, p at most `size`.

    "solved" are the filters of the linear autoencoder with lag decay. The controls are "random", an echo state
    y_t = A x_t + γ Q y_{t-1} with A and the orthogonal Q drawn at random, and "delay", the last `size` values.
    """
    channels = len(gram) // lags
    used = min(lags, count_lags(decay))
    gram = gram[: used * channels, : used * channels]
    size = min(size, len(gram))
    if memory == "solved":
        weights = np.repeat(decay ** np.arange(used), channels)[:, None]
        energy, vectors = eigh(weights * gram * weights.T, subset_by_index=[len(gram) - size, len(gram) - 1])
        energy, filters = energy[::-1], (weights * vectors)[:, ::-1]
    else:
        filters = np.eye(len(gram), size) if memory == "delay" else _random_responses(used, channels, size, decay, rng)
        energy = np.einsum("ij,ij->j", filters, gram @ filters)
    keep = energy > 1e-7 * energy.max()
    keep[energy.argmax()] = True
    scale = np.where(energy > 0, 1 / np.sqrt(np.maximum(energy, 1e-300)), 0)
    result = np.zeros((lags * channels, int(keep.sum())), np.float32)
    result[: len(gram)] = (filters * scale)[:, keep]
    return result


def _random_responses(lags: int, channels: int, size: int, decay: float, rng: np.random.Generator) -> np.ndarray:
    rotation = decay * np.linalg.qr(rng.standard_normal((size, size)))[0]
    response = [rng.standard_normal((channels, size))]
    for _ in range(lags - 1):
        response.append(response[-1] @ rotation)
    return np.concatenate(response)
