"""Classifiers of sequences without backpropagation: scikit-learn classifiers on the states of an autoencoder. [S20]

A pipeline of the autoencoder, a scaler and a classifier. `READOUTS[name].grid` is S20's grid for `GridSearchCV`: C and
γ in 4^−4 … 4^3.

    readout("svm", LinearAutoencoder(50)).fit(sequences, labels).score(test_sequences, test_labels)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from linmem.autoencoder.estimator import LinearAutoencoder

POWERS = [4.0**power for power in range(-4, 4)]


class Readout(NamedTuple):
    """A classifier: how to build it from a seed, its search grid, and a one-line description."""

    build: Callable[[int], Any]
    grid: dict[str, list[Any]]
    description: str


READOUTS: dict[str, Readout] = {
    "ridge": Readout(
        lambda seed: RidgeClassifier(), {"classifier__alpha": [1 / c for c in POWERS]}, "least squares to ±1 targets"
    ),
    "logistic": Readout(
        lambda seed: LogisticRegression(max_iter=1000), {"classifier__C": POWERS}, "multinomial logistic regression"
    ),
    "linear_svm": Readout(
        lambda seed: LinearSVC(dual=False, random_state=seed), {"classifier__C": POWERS}, "linear SVM, one versus rest"
    ),
    "svm": Readout(
        lambda seed: SVC(random_state=seed),
        {"classifier__C": POWERS, "classifier__gamma": ["scale", *POWERS]},
        "SVM with a Gaussian kernel, one versus one",
    ),
    "mlp": Readout(
        lambda seed: MLPClassifier((100,), early_stopping=True, max_iter=500, random_state=seed),
        {"classifier__hidden_layer_sizes": [(100,), (100, 100), (100, 100, 100)]},
        "1 to 3 hidden layers of 100 units, early stopping",
    ),
}


def readout(name: str, autoencoder: LinearAutoencoder, *, seed: int = 0) -> Pipeline:
    """Return a pipeline that maps sequences to the states after their last step, scales them and classifies them.

    Parameters
    ----------
    name : str
        A name of READOUTS; `READOUTS[name].grid` is the parameter grid for `GridSearchCV`.
    autoencoder : LinearAutoencoder
        Is fitted with the pipeline, on the training sequences alone.
    seed : int
        Seed of a classifier with random initialisation or order.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Its input is a list of sequences (T_i, a).

    Raises
    ------
    ValueError
        The name is unknown.

    Examples
    --------
    >>> import torch
    >>> from linmem import LinearAutoencoder
    >>> from linmem.readouts import readout
    >>> slow = [torch.sin(0.2 * torch.arange(30.0 + i))[:, None] for i in range(10)]
    >>> fast = [torch.sin(0.9 * torch.arange(30.0 + i))[:, None] for i in range(10)]
    >>> classifier = readout("ridge", LinearAutoencoder(4, lag_decay=0.9))
    >>> classifier.fit(slow + fast, [0] * 10 + [1] * 10).score(slow + fast, [0] * 10 + [1] * 10)
    1.0
    """
    if name not in READOUTS:
        raise ValueError(f"name must be one of {', '.join(READOUTS)}, got {name!r}. Choose one of these.")
    steps = [("autoencoder", autoencoder), ("scaler", StandardScaler()), ("classifier", READOUTS[name].build(seed))]
    return Pipeline(steps)
