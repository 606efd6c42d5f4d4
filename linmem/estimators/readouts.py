"""Readouts without backpropagation: what a classifier can read from the states of an autoencoder [S20].

A pipeline of the autoencoder, a scaling, and a classifier of scikit-learn: sequences go in, classes come out, and
`GridSearchCV` searches the grid that S20 does, C and γ in 4^−4 … 4^3.

    readout("svm", LinearAutoencoder(50)).fit(sequences, labels).score(unseen, their_labels)
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
    """How a classifier is built from a seed, what a search should try, and one line about it."""

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
        lambda seed: LinearSVC(dual=False, random_state=seed), {"classifier__C": POWERS}, "linear SVM, one against all"
    ),
    "svm": Readout(
        lambda seed: SVC(random_state=seed),
        {"classifier__C": POWERS, "classifier__gamma": ["scale", *POWERS]},
        "SVM with a Gaussian kernel, one against one",
    ),
    "mlp": Readout(
        lambda seed: MLPClassifier((100,), early_stopping=True, max_iter=500, random_state=seed),
        {"classifier__hidden_layer_sizes": [(100,), (100, 100), (100, 100, 100)]},
        "1 to 3 hidden layers of 100 units, stopped early",
    ),
}


def readout(name: str, autoencoder: LinearAutoencoder, *, seed: int = 0) -> Pipeline:
    """A scikit-learn pipeline: sequences → states after the last step → scaled → classes.

    Parameters
    ----------
    name : a name of READOUTS; `READOUTS[name].grid` is the parameter grid for `GridSearchCV`.
    autoencoder : fitted with the pipeline, on the training sequences alone.
    seed : of the classifier, where it draws anything.

    Raises
    ------
    ValueError
        The name is unknown; the known ones are listed.
    """
    if name not in READOUTS:
        raise ValueError(f"readout is {name!r}, but it must be one of {', '.join(map(repr, READOUTS))}")
    steps = [("autoencoder", autoencoder), ("scaler", StandardScaler()), ("classifier", READOUTS[name].build(seed))]
    return Pipeline(steps)
