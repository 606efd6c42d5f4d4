"""Parameters that all estimators with memory features share: defaults, seeds, checks, and constructors for hosts."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from linmem.estimators.memory_filters import MEMORIES
from linmem.validation import check_count, shown

DECAYS = (0.3, 0.6, 0.8, 0.9, 0.97)


def generator(random_state: Any) -> np.random.Generator:
    """NumPy's generator of a scikit-learn `random_state`."""
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31 - 1)
    return np.random.default_rng(random_state)


def check_memory_parameters(parameters: Any) -> None:
    """Refuse parameters of `MemoryFeatures` that have no meaning."""
    decays = parameters.decays
    if not holds_numbers(decays) or not all(0 < decay < 1 for decay in decays):
        raise ValueError(f"decays must be numbers between 0 and 1, got {shown(decays)}. Pass a list of them.")
    for name in ("memory_size", "n_projections", "max_lags"):
        check_count(name, getattr(parameters, name))
    if parameters.memory not in MEMORIES:
        raise ValueError(f"memory must be one of {', '.join(map(repr, MEMORIES))}, got {parameters.memory!r}.")


def holds_numbers(values: Any) -> bool:
    """Whether `values` is a list, tuple or vector of at least one real number."""
    listed = isinstance(values, Sequence) or getattr(values, "ndim", 0) == 1
    return listed and len(values) > 0 and all(isinstance(one, Real) for one in values)


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
