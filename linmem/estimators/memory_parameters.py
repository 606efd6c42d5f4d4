"""Parameters that all estimators with memory features share: defaults, seeds, checks, and constructors for hosts."""

from __future__ import annotations

from collections.abc import Sequence
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


class FeatureParameters:
    """The constructor of `MemoryFeatures` for the classes of other packages, whose layout is their own."""

    def __init__(
        self,
        decays: Sequence[float] = DECAYS,
        memory_size: int = 20,
        n_projections: int = 10_000,
        max_lags: int = 800,
        memory: str = "solved",
        views: str | Sequence[str] = "auto",
        random_state: Any = 0,
    ) -> None:
        self.decays = decays
        self.memory_size = memory_size
        self.n_projections = n_projections
        self.max_lags = max_lags
        self.memory = memory
        self.views = views
        self.random_state = random_state
        super().__init__()


class ClassifierParameters(FeatureParameters):
    """The same for `MemoryClassifier`."""

    def __init__(
        self,
        decays: Sequence[float] = DECAYS,
        memory_size: int = 20,
        n_projections: int = 10_000,
        max_lags: int = 800,
        memory: str = "solved",
        views: str | Sequence[str] = "auto",
        n_landmarks: int = 2000,
        random_state: Any = 0,
    ) -> None:
        self.n_landmarks = n_landmarks
        super().__init__(decays, memory_size, n_projections, max_lags, memory, views, random_state)
