"""What the classifier and the regressor share: memory features, then the block ridge.

Up to `n_landmarks` series the ridge is exact; above, and in `partial_fit`, it runs over chunks of series through
landmarks, so that time is linear in the number of series and memory does not grow with it. `partial_fit` keeps its
series until it has `n_landmarks`, and fits the features to them again whenever their number has doubled: a small first
call does not decide the features.

Symbols: n series, o outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from linmem.estimators.block_ridge import BlockFit, BlockMap, Standardizer, fit_block_ridge
from linmem.estimators.features import MemoryFeatures
from linmem.estimators.landmarks import LandmarkRidge, landmark_ridge
from linmem.estimators.mean_squares import mean_and_deviation
from linmem.estimators.memory_parameters import DECAYS, generator
from linmem.estimators.saving import Saved
from linmem.estimators.series import read_series
from linmem.scales import scale_of
from linmem.validation import check_count

CHUNK_SERIES = 256  # series whose features are held at once


@dataclass(frozen=True)
class KeptSeries:
    """The series of `partial_fit` so far, float64 targets (n, o), and the number that the features were fitted to."""

    series: list[np.ndarray]
    targets: np.ndarray
    fitted: int


class MemoryPredictor(Saved, BaseEstimator):
    """Base of `MemoryClassifier` and `MemoryRegressor`; their docstrings list the parameters."""

    def __init__(
        self,
        decays: Sequence[float] = DECAYS,
        memory_size: int = 20,
        n_projections: int = 10_000,
        max_lags: int = 800,
        memory: str = "solved",
        views: str | Sequence[str] = "auto",
        layout: str = "tc",
        n_landmarks: int = 2000,
        random_state: Any = 0,
    ) -> None:
        self.decays = decays
        self.memory_size = memory_size
        self.n_projections = n_projections
        self.max_lags = max_lags
        self.memory = memory
        self.views = views
        self.layout = layout
        self.n_landmarks = n_landmarks
        self.random_state = random_state

    features_: MemoryFeatures
    standardizer_: Standardizer
    map_: BlockMap
    sums_: LandmarkRidge | None
    kept_: KeptSeries | None
    _own_units = False  # of the outputs: errors are compared in units of each one's deviation

    def reset(self) -> Any:
        """Start a new stream."""
        if hasattr(self, "features_"):
            self.features_.reset()
        return self

    def _fit(self, sequences: Any, targets: np.ndarray) -> None:
        """Fit to float64 targets (n, o)."""
        series = self._read(sequences, targets)
        if len(series) <= self.n_landmarks:
            features, fit, _ = self._fit_landmarks(series, targets, np.arange(len(series)))
            self._set_fitted(features, fit.standardizer, fit.map, None, None)
        else:
            features, sums = self._fit_sums(series, targets)
            self._set_fitted(features, sums.standardizer, sums.solve(), sums, None)

    def _partial_fit(self, sequences: Any, targets: np.ndarray) -> None:
        """Add series with float64 targets (n, o)."""
        sums = getattr(self, "sums_", None)
        series = self._read(sequences, targets, None if sums is None else self.features_.n_features_in_)
        kept = KeptSeries([], targets[:0], 0) if sums is None else self.kept_
        if kept is not None:
            kept = KeptSeries([*kept.series, *series], np.concatenate([kept.targets, targets]), kept.fitted)
        if sums is None or (kept is not None and len(kept.series) >= min(2 * kept.fitted, self.n_landmarks)):
            assert kept is not None
            features, sums = self._fit_sums(kept.series, kept.targets)
            kept = replace(kept, fitted=len(kept.series))
        else:  # the features stay
            features, sums = self.features_, _extended(sums, self.features_, series, targets)
        if kept is not None and len(kept.series) >= self.n_landmarks:
            kept = None
        self._set_fitted(features, sums.standardizer, sums.solve(), sums, kept)
        self.reset()

    def _read(self, sequences: Any, targets: np.ndarray, features: int | None = None) -> list[np.ndarray]:
        check_count("n_landmarks", self.n_landmarks, least=2)
        series = read_series(sequences, self.layout, features)
        if len(series) != len(targets):
            raise ValueError(f"y must have one entry per series ({len(series)}), got {len(targets)}.")
        return series

    def _fit_landmarks(
        self, series: list[np.ndarray], targets: np.ndarray, rows: np.ndarray
    ) -> tuple[MemoryFeatures, BlockFit, list[np.ndarray]]:
        """Fit the features to all series, and scales, block weights and an exact ridge to some of them, `rows`."""
        if len(rows) < 2:
            raise ValueError(f"the number of series must be at least 2, got {len(rows)}. Pass more series.")
        parameters = {name: value for name, value in self.get_params().items() if name not in ("layout", "n_landmarks")}
        features = MemoryFeatures(**parameters)._fit_checked(series)
        blocks = features._blocks_of_checked([series[i] for i in rows])
        return features, fit_block_ridge(blocks, targets[rows], self._units(targets[rows])), blocks

    def _fit_sums(self, series: list[np.ndarray], targets: np.ndarray) -> tuple[MemoryFeatures, LandmarkRidge]:
        rows = np.sort(generator(self.random_state).permutation(len(series))[: self.n_landmarks])
        features, fit, blocks = self._fit_landmarks(series, targets, rows)
        ridge = landmark_ridge(fit, blocks, targets[rows], self._own_units)
        return features, _extended(ridge, features, series, targets)

    def _units(self, targets: np.ndarray) -> np.ndarray:
        """What the errors of each output of (n, o) targets are measured in, (o,)."""
        deviation = mean_and_deviation(targets)[1]
        return scale_of(deviation, targets) if self._own_units else np.ones_like(deviation)

    def _set_fitted(
        self,
        features: MemoryFeatures,
        standardizer: Standardizer,
        solved: BlockMap,
        sums: LandmarkRidge | None,
        kept: KeptSeries | None,
    ) -> None:
        """Assign what a fit has found, all at its end: an interrupted one leaves the estimator as it was."""
        self.features_, self.n_features_in_ = features, features.n_features_in_
        self.standardizer_, self.map_, self.sums_, self.kept_ = standardizer, solved, sums, kept

    def _outputs(self, sequences: Any) -> np.ndarray:
        """Outputs (n, o)."""
        check_is_fitted(self, "map_")
        series = read_series(sequences, self.layout, self.n_features_in_)
        chunks = (series[start : start + CHUNK_SERIES] for start in range(0, len(series), CHUNK_SERIES))
        return np.concatenate(
            [self.map_.apply(self.standardizer_.apply(self.features_._blocks_of_checked(chunk))) for chunk in chunks]
        )

    def _update_outputs(self, x_t: Any) -> np.ndarray:
        """Outputs (1, o) for the stream up to its next step."""
        check_is_fitted(self, "map_")
        return self.map_.apply(self.standardizer_.apply(self.features_.update_blocks(x_t)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        return tags


def _extended(
    sums: LandmarkRidge, features: MemoryFeatures, series: list[np.ndarray], targets: np.ndarray
) -> LandmarkRidge:
    """A copy of the sums with more series; `sums` stay as they are."""
    extended = replace(sums)
    for start in range(0, len(series), CHUNK_SERIES):
        stop = start + CHUNK_SERIES
        extended.update(features._blocks_of_checked(series[start:stop]), targets[start:stop])
    return extended
