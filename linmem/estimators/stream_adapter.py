"""Fitted estimators with the methods of river's: `learn_one`, `transform_one`, `predict_one`, `score_one`.

river reads one step as a dict from channel to number. The package itself is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from linmem.estimators.anomaly import MemoryAnomalyDetector
from linmem.estimators.classifier import MemoryClassifier
from linmem.estimators.features import MemoryFeatures
from linmem.estimators.forecaster import MemoryForecaster
from linmem.estimators.regressor import MemoryRegressor


class StreamAdapter:
    """One stream through a fitted estimator, with river's methods; constant time and memory per step.

    Parameters
    ----------
    estimator : fitted estimator with `update`
        Its stream starts again. The model itself stays as fitted: learning a step is reading it.
    channels : sequence of str, optional
        Keys of a step, in the order of the columns in `fit`; by default those of the first step.

    Examples
    --------
    >>> import numpy as np
    >>> from linmem import MemoryAnomalyDetector
    >>> detector = MemoryAnomalyDetector(memory_size=10).fit(np.sin(0.3 * np.arange(300)))
    >>> stream = StreamAdapter(detector)
    >>> for t in range(50):
    ...     stream = stream.learn_one({"level": np.sin(0.3 * t)})
    >>> stream.score_one({"level": 5.0}) > 100 * stream.score_one({"level": np.sin(0.3 * 50)})
    True
    """

    _supervised = False  # read by river's pipelines: learn_one needs no target

    def __init__(self, estimator: Any, channels: Sequence[str] | None = None) -> None:
        if not isinstance(
            estimator, MemoryAnomalyDetector | MemoryClassifier | MemoryFeatures | MemoryForecaster | MemoryRegressor
        ):
            raise ValueError(f"estimator must be one of linmem with `update`, got {type(estimator).__name__}.")
        self.estimator, self.channels = estimator.reset(), None if channels is None else list(channels)
        self._output: Any = None

    def learn_one(self, x: Mapping[str, float], y: Any = None) -> StreamAdapter:
        """Read a step; `y` is ignored."""
        self._output = self._update(x)
        return self

    def score_one(self, x: Mapping[str, float]) -> float:
        """Return the anomaly score that a step would have, without reading it."""
        if not isinstance(self.estimator, MemoryAnomalyDetector):
            raise ValueError(f"score_one needs a MemoryAnomalyDetector, got {type(self.estimator).__name__}.")
        before = self.estimator._state
        score: float = self._update(x)
        self.estimator._state = before
        return score

    def transform_one(self, x: Mapping[str, float] | None = None) -> dict[str, float]:
        """Return the features of the steps read so far by name; `x` is not read, `learn_one` does that."""
        if not isinstance(self.estimator, MemoryFeatures):
            raise ValueError(f"transform_one needs MemoryFeatures, got {type(self.estimator).__name__}.")
        names = self.estimator.get_feature_names_out()
        return dict(zip(names.tolist(), self._read().tolist(), strict=True))

    def predict_one(self, x: Mapping[str, float] | None = None) -> Any:
        """Return the class or number of the steps read so far, or a forecaster's next step; `x` is not read."""
        if isinstance(self.estimator, MemoryForecaster):
            following = self.estimator._following(self.estimator._one_stream("predict_one"))
            return following if np.ndim(following) == 0 else dict(zip(self._keys(), following, strict=True))
        if isinstance(self.estimator, MemoryClassifier):
            label = self.estimator.classes_[self._read().argmax()]
            return label.item() if isinstance(label, np.generic) else label
        if isinstance(self.estimator, MemoryRegressor):
            return self._read()
        raise ValueError(f"predict_one needs a predictor, got {type(self.estimator).__name__}.")

    def predict_proba_one(self, x: Mapping[str, float] | None = None) -> dict[Any, float]:
        """Refuse: a `MemoryClassifier` has no probabilities."""
        raise ValueError("predict_proba_one needs probabilities, which MemoryClassifier has not. Use predict_one.")

    def reset(self) -> StreamAdapter:
        """Start a new stream."""
        self.estimator.reset()
        self._output = None
        return self

    def _read(self) -> Any:
        if self._output is None:
            raise ValueError("a step must be read first, got none. Call learn_one.")
        return self._output

    def _keys(self) -> list[str]:
        return self.channels or [f"channel_{i}" for i in range(self.estimator.n_features_in_)]

    def _update(self, x: Mapping[str, float]) -> Any:
        """Pass a step to the estimator; the channels are those of the first step that it accepts."""
        channels = list(x) if self.channels is None else self.channels
        if set(x) != set(channels):
            raise ValueError(f"x must have the channels {', '.join(map(str, channels))}, got {', '.join(map(str, x))}.")
        output = self.estimator.update([x[name] for name in channels])
        self.channels = channels
        return output
