"""The estimators as classes of sktime, for its pipelines, tags and checks; needs the package sktime.

    from linmem.estimators.sktime_estimators import SktimeMemoryClassifier

Panels are any of sktime's types; series of unequal length are lists of data frames of shape (time, channels).
"""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    import pandas as pd
    from sktime.classification.base import BaseClassifier
    from sktime.transformations.base import BaseTransformer
except ImportError as error:
    raise ImportError(f"sktime must be installed, got: {error}. Run: pip install sktime") from error

from linmem.estimators.classifier import MemoryClassifier
from linmem.estimators.features import MemoryFeatures
from linmem.estimators.memory_parameters import ClassifierParameters, FeatureParameters

PANELS = {
    "X_inner_mtype": "df-list",
    "capability:multivariate": True,
    "capability:unequal_length": True,
    "capability:missing_values": False,
    "capability:random_state": True,
    "property:randomness": "derandomized",
    "authors": "linmem",
    "python_dependencies": ["linear-memory-networks"],
}
SMALL = [
    {"decays": (0.5, 0.9), "memory_size": 4, "n_projections": 40},
    {"decays": (0.7,), "memory_size": 3, "n_projections": 20},
]  # parameters for sktime's checks


class SktimeMemoryFeatures(FeatureParameters, BaseTransformer):
    """`MemoryFeatures` as a transformer of panels to one row per series; parameters as there.

    Examples
    --------
    >>> from linmem.estimators.sktime_estimators import SktimeMemoryFeatures
    >>> from sktime.datasets import load_japanese_vowels
    >>> series, labels = load_japanese_vowels(split="train", return_type="df-list")
    >>> SktimeMemoryFeatures(n_projections=100).fit_transform(series[:20]).shape[0]
    20
    """

    _tags = PANELS | {
        "scitype:transform-input": "Series",
        "scitype:transform-output": "Primitives",
        "scitype:instancewise": False,
        "y_inner_mtype": "None",
        "fit_is_empty": False,
    }

    features_: MemoryFeatures

    def _fit(self, X: list[pd.DataFrame], y: Any = None) -> SktimeMemoryFeatures:
        self.features_ = MemoryFeatures(**self.get_params()).fit(_arrays(X))
        return self

    def _transform(self, X: list[pd.DataFrame], y: Any = None) -> pd.DataFrame:
        return pd.DataFrame(self.features_.transform(_arrays(X)), columns=self.features_.get_feature_names_out())

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return small parameters for sktime's checks."""
        return SMALL


class SktimeMemoryClassifier(ClassifierParameters, BaseClassifier):
    """`MemoryClassifier` as a classifier of panels; parameters as there. `predict_proba` is 0 and 1.

    Examples
    --------
    >>> from linmem.estimators.sktime_estimators import SktimeMemoryClassifier
    >>> from sktime.datasets import load_unit_test
    >>> series, labels = load_unit_test(split="train", return_type="df-list")
    >>> bool(SktimeMemoryClassifier(n_projections=100).fit(series, labels).score(series, labels) > 0.8)
    True
    """

    _tags = PANELS

    classifier_: MemoryClassifier

    def _fit(self, X: list[pd.DataFrame], y: np.ndarray) -> SktimeMemoryClassifier:
        self.classifier_ = MemoryClassifier(**self.get_params()).fit(_arrays(X), y)
        return self

    def _predict(self, X: list[pd.DataFrame]) -> np.ndarray:
        return self.classifier_.predict(_arrays(X))

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return small parameters for sktime's checks."""
        return SMALL


def _arrays(panel: list[pd.DataFrame]) -> list[np.ndarray]:
    return [frame.to_numpy(np.float64) for frame in panel]
