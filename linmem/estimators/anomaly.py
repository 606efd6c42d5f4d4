"""`MemoryAnomalyDetector`: how unexpected each step of a series is, from one linear memory; in batches or step by step.

The score of step t is the sum of two squared distances, each 1 on average in training: of x_t from its prediction by
the memory state before, relative to the covariance of prediction errors; and of the state y_t from zero, relative to
the covariance of states. The first responds to unexpected values, the second to unusual shapes.

Symbols: T steps, a features, p memory units, γ lag decay.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from linmem.estimators.dynamics import MemoryDynamics, fit_dynamics
from linmem.estimators.mean_squares import mean_and_deviation, standardize
from linmem.estimators.saving import Saved
from linmem.estimators.series import read_one_or_several, read_step
from linmem.scales import scale_of
from linmem.validation import check_share

STATE_RIDGE = 0.1  # added to the states' covariance, relative to its mean diagonal: ignores the weakest directions
ERROR_RIDGE = 1e-6  # the same for prediction errors, only against exact dependence
STEPS_PER_UNIT = 5  # of training, below which `fit` warns: (T + p) / (T − p) is 1.5 there


class MemoryAnomalyDetector(Saved, BaseEstimator):
    """Anomaly detector for time series; solved in closed form, with constant time and memory per step.

    Parameters
    ----------
    memory_size : int, default 50
        p, the units of the memory, or the rank of the history matrix if that is less.
    lag_decay : float, default 0.97
        γ: lag i counts γ^i. Larger values find anomalies in longer shapes.
    penalty : float, default 1e-5
        Ridge penalty of the prediction, relative to the mean energy of a memory unit.
    contamination : float, default 0.01
        Share of the training steps above the threshold of `predict`.
    layout : {"tc", "ct"}, default "tc"
        (time, channels), or (channels, time) as in aeon and sktime.

    Attributes
    ----------
    dynamics_ : MemoryDynamics
        The memory and its prediction.
    threshold_ : float
        Scores above it are anomalies for `predict`.

    Notes
    -----
    Higher scores are more anomalous, as in aeon; scikit-learn's outlier detectors use the opposite sign. One `update`
    costs O(p² + p a).

    Scores near 1 are normal only if the steps of training, T, are many compared with p: least squares with p weights
    leaves squared errors of σ² (T − p) / T in training and σ² (T + p) / T on new independent steps. `fit` warns below
    5 p steps, where the ratio of the two is 1.5. Series whose steps are correlated need more.

    Examples
    --------
    >>> import numpy as np
    >>> from linmem import MemoryAnomalyDetector
    >>> series = np.sin(0.3 * np.arange(500)) + 0.1 * np.random.default_rng(0).standard_normal(500)
    >>> series[400] += 2
    >>> detector = MemoryAnomalyDetector().fit(series[:300])
    >>> int(detector.score_samples(series).argmax())
    400
    """

    dynamics_: MemoryDynamics
    threshold_: float
    _state: np.ndarray | None

    def __init__(
        self,
        memory_size: int = 50,
        lag_decay: float = 0.97,
        penalty: float = 1e-5,
        contamination: float = 0.01,
        layout: str = "tc",
    ) -> None:
        self.memory_size = memory_size
        self.lag_decay = lag_decay
        self.penalty = penalty
        self.contamination = contamination
        self.layout = layout

    def fit(self, series: Any, y: Any = None) -> MemoryAnomalyDetector:
        """Fit to mostly normal data: one (T,) or (T, a) series, or a list of them; `y` is ignored."""
        check_share("contamination", self.contamination)
        sequences, _, _ = read_one_or_several(series, self.layout, min_length=2)
        steps = np.concatenate(sequences)
        mean, deviation = mean_and_deviation(steps)
        scale = scale_of(deviation, steps)
        scaled = [standardize(x, mean, scale) for x in sequences]
        (dynamics,) = fit_dynamics(scaled, self.memory_size, self.lag_decay, [self.penalty])
        _warn_if_few(len(steps), len(dynamics.A))
        before, states = (np.concatenate(part) for part in zip(*(_states(dynamics, x) for x in scaled), strict=True))
        errors = np.concatenate(scaled) - dynamics.predict(before)
        precisions = _precision(errors, ERROR_RIDGE), _precision(states, STATE_RIDGE)
        scores = _squared(errors, precisions[0]) + _squared(states, precisions[1])
        threshold = float(np.quantile(scores, 1 - self.contamination))
        self.n_features_in_, self.mean_, self.scale_, self.dynamics_ = steps.shape[1], mean, scale, dynamics
        (self.error_precision_, self.state_precision_), self.threshold_ = precisions, threshold
        return self.reset()

    def score_samples(self, series: Any) -> Any:
        """Return the score (T,) of each step of a series, or a list of them for a list; higher is more anomalous."""
        check_is_fitted(self, "threshold_")
        sequences, single, _ = read_one_or_several(series, self.layout, self.n_features_in_)
        scores = [self._score(standardize(x, self.mean_, self.scale_)) for x in sequences]
        return scores[0] if single else scores

    def predict(self, series: Any) -> Any:
        """Return (T,) bool, true where the score is above `threshold_`, or a list of them for a list."""
        scores = self.score_samples(series)
        return [s > self.threshold_ for s in scores] if isinstance(scores, list) else scores > self.threshold_

    def update(self, x_t: Any) -> float:
        """Return the score of the next step (a,) of a stream, in constant time and memory.

        The scores since `reset` are those of `score_samples` on the same steps.
        """
        check_is_fitted(self, "threshold_")
        x = standardize(read_step(x_t, self.n_features_in_), self.mean_, self.scale_)
        before = np.zeros((1, len(self.dynamics_.A))) if self._state is None else self._state
        self._state = self.dynamics_.advance(before, x[None])
        return float(self._distances(x[None], before, self._state)[0])

    def reset(self) -> MemoryAnomalyDetector:
        """Start a new stream."""
        self._state = None
        return self

    def _score(self, scaled: np.ndarray) -> np.ndarray:
        return self._distances(scaled, *_states(self.dynamics_, scaled))

    def _distances(self, x: np.ndarray, before: np.ndarray, states: np.ndarray) -> np.ndarray:
        error = x - self.dynamics_.predict(before)
        return _squared(error, self.error_precision_) + _squared(states, self.state_precision_)


def _states(dynamics: MemoryDynamics, scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States before and after each step, (T, p) each; the first state before is zero."""
    states = dynamics.states(scaled)
    return np.concatenate([np.zeros_like(states[:1]), states[:-1]]), states


def _warn_if_few(steps: int, units: int) -> None:
    """Warn where the squared error of new steps is expected to be far above that of the training steps."""
    if steps >= STEPS_PER_UNIT * units:
        return
    ratio = (steps + units) / (steps - units) if steps > units else np.inf
    warnings.warn(
        f"{steps} training steps are few for {units} memory units: scores of normal new steps are about {ratio:.3g} "
        f"times those of training, or more. Lower memory_size to {max(steps // STEPS_PER_UNIT, 1)} or fit to "
        f"{STEPS_PER_UNIT * units} steps.",
        stacklevel=3,
    )


def _precision(rows: np.ndarray, ridge: float) -> np.ndarray:
    """Inverse second moments (k, k) of rows (N, k), scaled so that the mean squared distance of the rows is 1."""
    moments = rows.T @ rows / len(rows)
    mean = max(np.trace(moments) / len(moments), 1e-12)
    precision = np.linalg.inv(moments + ridge * mean * np.eye(len(moments)))
    scaled: np.ndarray = precision / max(np.sum(precision * moments), 1e-12)
    return scaled


def _squared(rows: np.ndarray, precision: np.ndarray) -> np.ndarray:
    distances: np.ndarray = np.einsum("ti,ij,tj->t", rows, precision, rows, optimize=True)
    return distances
