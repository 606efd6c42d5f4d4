"""Default decays, seeds, and checks of the parameters that all estimators with memory features share."""

from __future__ import annotations

from typing import Any

import numpy as np

from linmem.estimators.memory_filters import MEMORIES

DECAYS = (0.3, 0.6, 0.8, 0.9, 0.97)


def generator(random_state: Any) -> np.random.Generator:
    """NumPy's generator of a scikit-learn `random_state`."""
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31 - 1)
    return np.random.default_rng(random_state)


def check_memory_parameters(parameters: Any) -> None:
    """Refuse parameters of `MemoryFeatures` that have no meaning."""
    if not len(parameters.decays) or not all(0 < decay < 1 for decay in parameters.decays):
        raise ValueError(f"decays must be numbers between 0 and 1, got {parameters.decays}.")
    for name in ("memory_size", "n_projections", "max_lags"):
        if not getattr(parameters, name) >= 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(parameters, name)!r}.")
    if parameters.memory not in MEMORIES:
        raise ValueError(f"memory must be one of {', '.join(map(repr, MEMORIES))}, got {parameters.memory!r}.")
