"""The estimators as classes of aeon, for its pipelines, tags and checks; needs the package aeon.

    from linmem.estimators.aeon_estimators import AeonMemoryClassifier

Collections are aeon's: (n, channels, time) arrays or lists of (channels, T_i) arrays.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

try:
    from aeon.anomaly_detection.series.base import BaseSeriesAnomalyDetector
    from aeon.classification.base import BaseClassifier
    from aeon.transformations.collection.base import BaseCollectionTransformer
except ImportError as error:
    raise ImportError(f"aeon must be installed, got: {error}. Run: pip install aeon") from error

from linmem.estimators.anomaly import MemoryAnomalyDetector
from linmem.estimators.classifier import MemoryClassifier
from linmem.estimators.features import MemoryFeatures
from linmem.estimators.memory_parameters import ClassifierParameters, FeatureParameters

COLLECTIONS = {
    "capability:multivariate": True,
    "capability:unequal_length": True,
    "X_inner_type": ["np-list", "numpy3D"],
}
SMALL = {"decays": (0.5, 0.9), "memory_size": 4, "n_projections": 40}  # parameters for aeon's checks


class AeonMemoryFeatures(FeatureParameters, BaseCollectionTransformer):
    """`MemoryFeatures` as a transformer of collections; parameters as there.

    Examples
    --------
    >>> from linmem.estimators.aeon_estimators import AeonMemoryFeatures
    >>> from aeon.datasets import load_japanese_vowels
    >>> series, labels = load_japanese_vowels(split="train")
    >>> AeonMemoryFeatures(n_projections=100).fit_transform(series[:20]).shape[0]
    20
    """

    _tags = COLLECTIONS | {"output_data_type": "Tabular", "algorithm_type": "feature"}

    features_: MemoryFeatures

    def _fit(self, X: Any, y: Any = None) -> AeonMemoryFeatures:
        self.features_ = MemoryFeatures(**self.get_params(), layout="ct").fit(X)
        return self

    def _transform(self, X: Any, y: Any = None) -> np.ndarray:
        return self.features_.transform(X)

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:
        return SMALL


class AeonMemoryClassifier(ClassifierParameters, BaseClassifier):
    """`MemoryClassifier` as a classifier of collections; parameters as there. `predict_proba` is 0 and 1.

    Examples
    --------
    >>> from linmem.estimators.aeon_estimators import AeonMemoryClassifier
    >>> from aeon.datasets import load_unit_test
    >>> series, labels = load_unit_test(split="train")
    >>> bool(AeonMemoryClassifier(n_projections=100).fit(series, labels).score(series, labels) > 0.8)
    True
    """

    _tags = COLLECTIONS | {"algorithm_type": "feature"}

    classifier_: MemoryClassifier

    def _fit(self, X: Any, y: Any) -> AeonMemoryClassifier:
        self.classifier_ = MemoryClassifier(**self.get_params(), layout="ct").fit(X, y)
        return self

    def _predict(self, X: Any) -> np.ndarray:
        return self.classifier_.predict(X)

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:
        return SMALL


class AeonMemoryAnomalyDetector(BaseSeriesAnomalyDetector):
    """`MemoryAnomalyDetector` as a semi-supervised detector: `fit` to normal series, `predict` gives scores per step.

    Examples
    --------
    >>> import numpy as np
    >>> from linmem.estimators.aeon_estimators import AeonMemoryAnomalyDetector
    >>> normal = np.sin(0.3 * np.arange(300))
    >>> AeonMemoryAnomalyDetector(memory_size=10).fit(normal).predict(normal[:50]).shape
    (50,)
    """

    _tags: ClassVar[dict[str, Any]] = {
        "capability:multivariate": True,
        "fit_is_empty": False,
        "requires_y": False,
        "anomaly_output_type": "anomaly_scores",
        "learning_type:semi_supervised": True,
    }

    def __init__(self, memory_size: int = 50, lag_decay: float = 0.97) -> None:
        self.memory_size = memory_size
        self.lag_decay = lag_decay
        super().__init__(axis=0)

    detector_: MemoryAnomalyDetector

    def _fit(self, X: Any, y: Any = None) -> AeonMemoryAnomalyDetector:
        self.detector_ = MemoryAnomalyDetector(**self.get_params()).fit(X)
        return self

    def _predict(self, X: Any) -> np.ndarray:
        return self.detector_.score_samples(X)

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:
        return {"memory_size": 4}
