"""`MemoryFeatures`: a fixed number of features for series of any length, from solved memories.

Symbols: n series, T_i steps of series i, a features (channels), d pooled features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from linmem.estimators.encoders import Encoder, fit_encoder
from linmem.estimators.memory_parameters import DECAYS, check_memory_parameters, generator
from linmem.estimators.pooling import pooled_features
from linmem.estimators.saving import Saved
from linmem.estimators.series import read_series, read_step
from linmem.estimators.streaming import FeatureStream
from linmem.estimators.views import Views, fit_views


class MemoryFeatures(Saved, TransformerMixin, BaseEstimator):
    """Features of ragged multivariate series from linear memories solved in closed form.

    Each view of a series (scaled, its differences, ...) is read by one memory per lag decay: the linear autoencoder
    with lag decay, solved once. Random projections of the memory states are pooled over time.

    Parameters
    ----------
    decays : sequence of float, default (0.3, 0.6, 0.8, 0.9, 0.97)
        Lag decays γ, each between 0 and 1, one memory each. A memory reaches ⌈log 0.01 / log γ⌉ steps back.
    memory_size : int, default 20
        p, the most units of one memory.
    n_projections : int, default 10000
        Random projections in all, shared equally between the memories. Time and features are proportional to it.
    max_lags : int, default 800
        The most lags times features in a memory; the eigendecomposition costs its cube.
    memory : {"solved", "random", "delay"}, default "solved"
        "random" and "delay" are controls: a random orthogonal echo state and the last values themselves.
    views : "auto" or list of str, default "auto"
        Some of "scaled", "scaled differences", "standardized", "standardized differences" and "padded".
    layout : {"tc", "ct"}, default "tc"
        (time, channels), or (channels, time) as in aeon and sktime.
    random_state : int, RandomState or None, default 0
        Seed of the projections.

    Attributes
    ----------
    views_ : Views
        Names and scales of the views.
    encoders_ : list of Encoder
        One per view.
    decays_ : list of float or None
        The lag decays of the fit; None in files of versions that did not keep them.
    n_features_in_ : int
        Channels of a series.

    Notes
    -----
    Nothing is trained by gradient. Time and memory are linear in the number of steps. The views "standardized" and
    "standardized differences" need the whole series.

    Examples
    --------
    >>> import numpy as np
    >>> from linmem import MemoryFeatures
    >>> series = [np.sin(0.3 * np.arange(length))[:, None] for length in (20, 35, 50)]
    >>> MemoryFeatures(n_projections=100, views=["scaled"]).fit_transform(series).shape
    (3, 448)
    """

    def __init__(
        self,
        decays: Sequence[float] = DECAYS,
        memory_size: int = 20,
        n_projections: int = 10_000,
        max_lags: int = 800,
        memory: str = "solved",
        views: str | Sequence[str] = "auto",
        layout: str = "tc",
        random_state: Any = 0,
    ) -> None:
        self.decays = decays
        self.memory_size = memory_size
        self.n_projections = n_projections
        self.max_lags = max_lags
        self.memory = memory
        self.views = views
        self.layout = layout
        self.random_state = random_state

    views_: Views
    encoders_: list[Encoder]
    decays_: list[float] | None = None
    _stream: FeatureStream | None = None

    def fit(self, sequences: Any, y: Any = None) -> MemoryFeatures:
        """Solve the memories of (T_i, a) series and draw the projections; `y` is ignored."""
        return self._fit_checked(read_series(sequences, self.layout))

    def _fit_checked(self, series: list[np.ndarray]) -> MemoryFeatures:
        """Do what `fit` does, for the result of `read_series`."""
        check_memory_parameters(self)
        rng = generator(self.random_state)
        views = fit_views(series, self.views)
        count = max(1, self.n_projections // (len(self.decays) * len(views.names)))
        settings = (self.decays, self.memory_size, count, self.max_lags, self.memory, rng)
        encoders = [fit_encoder([views.apply(x, name) for x in series], *settings) for name in views.names]
        self.n_features_in_, self.views_, self.encoders_ = series[0].shape[1], views, encoders
        self.decays_ = [float(decay) for decay in self.decays]
        return self.reset()

    def transform(self, sequences: Any) -> np.ndarray:
        """Return the features (n, d), float32."""
        return np.concatenate(self.transform_blocks(sequences), 1)

    def transform_blocks(self, sequences: Any) -> list[np.ndarray]:
        """Return the features (n, d_b) of each memory by itself, float32."""
        check_is_fitted(self, "encoders_")
        return self._blocks_of_checked(read_series(sequences, self.layout, self.n_features_in_))

    def _blocks_of_checked(self, series: list[np.ndarray]) -> list[np.ndarray]:
        """Return what `transform_blocks` returns, for the result of `read_series`."""
        blocks = []
        for name, encoder in zip(self.views_.names, self.encoders_, strict=True):
            blocks += pooled_features([self.views_.apply(x, name) for x in series], encoder, share=name != "padded")
        return blocks

    def update(self, x_t: Any) -> np.ndarray:
        """Return the features (d,) of a stream up to its next step (a,), in constant time and memory.

        They are those of `transform` on the steps since `reset`. The views must be "scaled" or "scaled differences".
        """
        return np.concatenate(self.update_blocks(x_t), 1)[0]

    def update_blocks(self, x_t: Any) -> list[np.ndarray]:
        """Return what `update` returns, (1, d_b) for each memory by itself."""
        check_is_fitted(self, "encoders_")
        self._stream = self._stream or FeatureStream(self.views_, self.encoders_)
        return self._stream.update(read_step(x_t, self.n_features_in_))

    def reset(self) -> MemoryFeatures:
        """Start a new stream."""
        self._stream = None
        return self

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name of every feature: view, decay and statistic."""
        check_is_fitted(self, "encoders_")
        names = []
        for view, encoder in zip(self.views_.names, self.encoders_, strict=True):
            for decay, one in zip(self.decays_ or self.decays, encoder.projections, strict=True):
                m, p = len(one.thresholds), one.stop - one.start
                parts = {"positive": m, "positive mean": m, "sign changes": m, "last state": p, "mean state": p}
                names += [f"{view} {decay} {part} {i}" for part, count in parts.items() for i in range(count)]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.target_tags.required = False
        return tags
