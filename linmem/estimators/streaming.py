"""Features of a stream, one step at a time, in constant time and memory per step.

Symbols: K lags, a features (channels), p memory units, m projections.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from linmem.estimators.encoders import Encoder
from linmem.estimators.mean_squares import standardize
from linmem.estimators.pooling import Pool
from linmem.estimators.views import CAUSAL, Views


class FeatureStream:
    """The last K steps and the sums over all steps of one stream; one step costs O(K a p + p m) for each view.

    Raises
    ------
    ValueError
        A view needs the whole series.
    """

    def __init__(self, views: Views, encoders: Sequence[Encoder]) -> None:
        others = [name for name in views.names if name not in CAUSAL]
        if others:
            raise ValueError(
                f"views must be of {list(CAUSAL)} for streams, got {', '.join(map(repr, others))}. "
                f"Fit with views={list(CAUSAL)}."
            )
        self._views, self._encoders = views, encoders
        self._steps = 0
        self._last = np.zeros_like(views.mean)
        self._pools = [Pool(encoder, 1) for encoder in encoders]
        self._windows = [np.zeros((encoder.lags, len(views.mean)), np.float32) for encoder in encoders]

    def update(self, x: np.ndarray) -> list[np.ndarray]:
        """Blocks (1, d_b) of features, one per memory, of all steps up to the next one, (a,).

        Raises
        ------
        ValueError
            A value is too far from the training mean; the step is not read.
        """
        z = standardize(x, self._views.mean, self._views.scale)
        change = z - self._last if self._steps else np.zeros_like(z)
        blocks = []
        for name, encoder, pool, window in zip(
            self._views.names, self._encoders, self._pools, self._windows, strict=True
        ):
            window[1:] = window[:-1].copy()
            window[0] = change if name.endswith("differences") else z
            pool.add(window.reshape(1, -1) @ encoder.filters, [(0, self._steps, self._steps + 1)])
            blocks += pool.features(np.array([self._steps + 1]), share=True)
        self._last, self._steps = z, self._steps + 1
        return blocks
