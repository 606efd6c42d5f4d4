"""Real Fourier transforms along time and the products between them, by the faster library for each device.

On the CPU scipy's transform is three times as fast as torch's along the leading axis, and NumPy's batched complex
product 1.5 times (one thread, float64 and float32 alike); on other devices everything is torch.

Symbols: T steps, n transform length, F = n // 2 + 1 frequencies.
"""

import numpy as np
import scipy.fft
import torch
from torch import Tensor


def fast_length(steps: int, lags: int | None = None) -> int:
    """Return the first cheap transform length at which a correlation of that many lags does not wrap: n ≥ T + L − 1."""
    lags = steps if lags is None else min(lags, steps)
    return int(scipy.fft.next_fast_len(steps + lags - 1, real=True))


def forward(values: Tensor, length: int) -> Tensor:
    """(T, ...) real to (F, ...) complex, zero-padded to `length`."""
    if values.device.type != "cpu":
        return torch.fft.rfft(values, length, dim=0)
    return torch.from_numpy(scipy.fft.rfft(values.numpy(), length, axis=0, workers=torch.get_num_threads()))


def backward(values: Tensor, length: int, steps: int) -> Tensor:
    """(F, ...) complex to the first `steps` of (length, ...) real; `values` may be overwritten."""
    if values.device.type != "cpu":
        return torch.fft.irfft(values, length, dim=0)[:steps]
    whole = scipy.fft.irfft(values.numpy(), length, axis=0, overwrite_x=True, workers=torch.get_num_threads())
    return torch.from_numpy(whole[:steps])


def product(left: Tensor, right: Tensor) -> Tensor:
    """(F, m, k) times (F, k, q), frequency by frequency; or one matrix times another."""
    if left.device.type != "cpu":
        return left @ right
    return torch.from_numpy(np.matmul(left.numpy(), right.numpy()))


def adjoint_product(left: Tensor, right: Tensor) -> Tensor:
    """(F, k, m) conjugate-transposed times (F, k, q), frequency by frequency.

    Written as the conjugate of leftᵀ times the conjugate of right: then only the smaller factor is copied.
    """
    if left.device.type != "cpu":
        return left.mH @ right
    return torch.from_numpy(np.conj(np.matmul(left.numpy().swapaxes(1, 2), np.conj(right.numpy()))))


def cross_spectrum(left: Tensor, right: Tensor) -> Tensor:
    """(F, B, m) and (F, B, k) to (F, m, k): Σ_B left ⊗ conj(right), frequency by frequency."""
    if left.device.type != "cpu":
        return left.transpose(1, 2) @ right.conj()
    return torch.from_numpy(np.matmul(left.numpy().swapaxes(1, 2), np.conj(right.numpy())))
