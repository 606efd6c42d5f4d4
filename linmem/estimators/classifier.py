"""`MemoryClassifier`: memory features, then ridge regression to ±1, one output per class.

Symbols: n series, c classes, d features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from linmem.estimators.predictor import MemoryPredictor
from linmem.estimators.series import as_labels


class MemoryClassifier(ClassifierMixin, MemoryPredictor):
    """Classifier of ragged multivariate series; everything is solved in closed form.

    Parameters
    ----------
    decays, memory_size, n_projections, max_lags, memory, views, layout
        As in `MemoryFeatures`.
    n_landmarks : int, default 2000
        The most series for which the ridge is solved exactly, in time n² d + n³. With more, block weights and scales
        are fitted to so many series drawn at random, and the ridge to all, in time linear in n.
    random_state : int, RandomState or None, default 0
        Seed of the projections and the landmarks.

    Attributes
    ----------
    classes_ : (c,) array
        The labels, sorted.
    features_ : MemoryFeatures
        The fitted features.

    Notes
    -----
    There is no `predict_proba`: the leave-one-out decision values that the block weights are chosen with are too
    optimistic to fit probabilities to.

    Examples
    --------
    >>> import numpy as np
    >>> from linmem import MemoryClassifier
    >>> labels = np.arange(20) % 2
    >>> series = [np.sin((0.3 + 0.2 * label) * np.arange(30 + i))[:, None] for i, label in enumerate(labels)]
    >>> classifier = MemoryClassifier(n_projections=500).fit(series[:10], labels[:10])
    >>> classifier.score(series[10:], labels[10:])
    1.0
    """

    classes_: np.ndarray

    def fit(self, sequences: Any, y: Any) -> MemoryClassifier:
        """Fit to (T_i, a) series and their labels; earlier batches of `partial_fit` are forgotten."""
        labels = _labels(y)
        classes = _classes(labels)
        self._fit(sequences, _codes(labels, classes))
        self.classes_ = classes
        return self

    def partial_fit(self, sequences: Any, y: Any, classes: Any = None) -> MemoryClassifier:
        """Add series to the fit.

        The ridge is that of all series so far. Memories, scales and block weights are fitted to at least half of them,
        until `n_landmarks` series have been added; until then the series are kept. They stay from then on, for any
        division into batches. A call after a `fit` to at most `n_landmarks` series starts again; one after a `fit` to
        more of them adds to it. The stream of `update` starts again, too.

        Parameters
        ----------
        sequences : list of (T_i, a) arrays
            The series.
        y : (n,) array
            Their labels.
        classes : array, optional
            All labels, where the first call does not hold each of them; later calls need not pass them.
        """
        labels = _labels(y)
        first = getattr(self, "sums_", None) is None
        named = None if classes is None else _classes(column_or_1d(classes))
        known = (_classes(labels) if named is None else named) if first else self.classes_
        if named is not None and not np.array_equal(named, known):
            raise ValueError(
                f"classes must be those of the first call, {known.tolist()}, got {named.tolist()}. Fit again."
            )
        self._partial_fit(sequences, _codes(labels, known))
        self.classes_ = known
        return self

    def decision_function(self, sequences: Any) -> np.ndarray:
        """Return (n, c) decision values, or (n,) those of the second of two classes."""
        outputs = self._outputs(sequences)
        return outputs[:, 1] if len(self.classes_) == 2 else outputs

    def predict(self, sequences: Any) -> np.ndarray:
        """Return the class of each series."""
        outputs = self._outputs(sequences)
        predicted: np.ndarray = self.classes_[outputs.argmax(1)]
        return predicted

    def update(self, x_t: Any) -> np.ndarray:
        """Return (c,) outputs, one per class, for a stream up to its next step (a,), in constant time and memory.

        They are the decision values of the steps since `reset`. The views must be "scaled" or "scaled differences".
        """
        return self._update_outputs(x_t)[0]


def _labels(y: Any) -> np.ndarray:
    labels: np.ndarray = column_or_1d(as_labels(y))
    check_classification_targets(labels)
    return labels


def _classes(labels: np.ndarray) -> np.ndarray:
    classes: np.ndarray = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(f"y must hold at least 2 classes, got {len(classes)}.")
    return classes


def _codes(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """±1 per class, (n, c)."""
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(
            f"y must hold the classes {classes.tolist()}, got {unknown.tolist()}. "
            "Pass all classes to the first call of partial_fit."
        )
    return np.where(labels[:, None] == classes, 1.0, -1.0)
