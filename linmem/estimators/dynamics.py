"""A memory that predicts its next input: the linear autoencoder with lag decay, and a ridge regression on its states.

    y_t = A x_t + B y_{t-1},   x̂_{t+1} = W y_t + b

Symbols: T steps, a features, p memory units, n starting states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from linmem.autoencoder import coding
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.solvers.memory_size import RankError
from linmem.ridge import ridge_regression
from linmem.validation import check_count

DEFAULT_UNITS = 100  # LinearAutoencoder(memory_size=None) has so many, or the rank of the history if that is less


@dataclass(frozen=True)
class MemoryDynamics:
    """The matrices of the two equations, float64."""

    A: np.ndarray  # (p, a)
    B: np.ndarray  # (p, p)
    W: np.ndarray  # (a, p)
    b: np.ndarray  # (a,)

    def states(self, series: np.ndarray) -> np.ndarray:
        """States (T, p) after each step of a (T, a) series."""
        return encode(series, self.A, self.B)

    def advance(self, states: np.ndarray, x: np.ndarray) -> np.ndarray:
        """States (n, p) after inputs (n, a)."""
        following: np.ndarray = x @ self.A.T + states @ self.B.T
        return following

    def predict(self, states: np.ndarray) -> np.ndarray:
        """Next inputs (n, a) of states (n, p)."""
        inputs: np.ndarray = states @ self.W.T + self.b
        return inputs

    def forecast(self, states: np.ndarray, steps: int) -> np.ndarray:
        """Inputs (n, steps, a) that follow states (n, p), each prediction taken as the next input."""
        predicted = []
        for _ in range(steps):
            predicted.append(self.predict(states))
            states = self.advance(states, predicted[-1])
        return np.stack(predicted, 1)


def encode(series: np.ndarray, A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """States (T, p) of a (T, a) series."""
    inputs, input_weights, transition = (torch.from_numpy(np.ascontiguousarray(matrix)) for matrix in (series, A, B))
    (states,) = coding.encode([inputs], input_weights, transition, None)
    return states.numpy()


def fit_dynamics(
    series: Sequence[np.ndarray], memory_size: int, lag_decay: float, penalties: Sequence[float]
) -> list[MemoryDynamics]:
    """Solve the memory of (T_i, a) series and one ridge regression per penalty.

    The memory has `memory_size` units, or the rank of the history matrix if that is less: the first p units of a larger
    memory are the memory of p units. Series of zeros are predicted as zeros.
    """
    memory_size = check_count("memory_size", memory_size)
    if not any(x.any() for x in series):
        a = series[0].shape[1]
        return [MemoryDynamics(np.zeros((1, a)), np.zeros((1, 1)), np.zeros((a, 1)), np.zeros(a)) for _ in penalties]
    memory = _solve_memory(series, None if memory_size <= DEFAULT_UNITS else memory_size, lag_decay)
    A, B = memory.A_[:memory_size], memory.B_[:memory_size, :memory_size]
    states = np.concatenate([encode(x, A, B)[:-1] for x in series])
    following = np.concatenate([x[1:] for x in series])
    maps = ridge_regression(torch.from_numpy(states), torch.from_numpy(following), penalties)
    return [MemoryDynamics(A, B, one.W.numpy().T, one.b.numpy()) for one in maps]


def _solve_memory(series: Sequence[np.ndarray], size: int | None, lag_decay: float) -> LinearAutoencoder:
    """The memory of `size` units, or of the rank of the history matrix if that is less."""
    memory = LinearAutoencoder(size, decoder="tied", refine=None, lag_decay=lag_decay)
    try:
        return memory.fit(list(series))
    except RankError as error:
        return _solve_memory(series, error.rank, lag_decay)
