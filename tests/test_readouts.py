"""Readouts without backpropagation: each is scikit-learn's classifier on the autoencoder's states."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from linmem import data
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.estimators.readouts import READOUTS, readout
from linmem.nn.baselines import echo_state_, forget_bias_
from linmem.nn.lmn import LMN


def waves(count=60, seed=0):
    """Sequences of two frequencies at any phase: their class is in no step and in no linear function of the steps."""
    random = np.random.default_rng(seed)
    labels = random.integers(2, size=count)
    times = [np.arange(random.integers(15, 25)) + random.uniform(0, 20) for _ in range(count)]
    return [np.sin(t * (0.5 + 0.3 * label))[:, None] for t, label in zip(times, labels, strict=True)], labels


def encoder(size=6):
    return LinearAutoencoder(size, decoder="tied")


@pytest.mark.parametrize("name", READOUTS)
def test_a_readout_is_its_classifier_on_scaled_states(name):
    (sequences, labels), (unseen, _) = waves(), waves(seed=1)
    found = readout(name, encoder()).fit(sequences, labels).predict(unseen)
    autoencoder = encoder().fit(sequences)
    scaler = StandardScaler().fit(autoencoder.transform(sequences))
    classifier = READOUTS[name].build(0).fit(scaler.transform(autoencoder.transform(sequences)), labels)
    assert (found == classifier.predict(scaler.transform(autoencoder.transform(unseen)))).all()


@pytest.mark.parametrize(
    ("name", "least"), [("ridge", 0.8), ("logistic", 0.85), ("linear_svm", 0.8), ("svm", 0.9), ("mlp", 0.85)]
)
def test_digits_are_read_from_the_last_state(name, least):
    """Chance is 0.1; the state after 64 pixels holds the image, compressed to 40 numbers."""
    splits = data.load("digits")
    pipeline = readout(name, encoder(40)).fit(splits.train, splits.labels["train"].numpy())
    assert pipeline.score(splits.test, splits.labels["test"].numpy()) > least


@pytest.mark.parametrize("name", READOUTS)
def test_grids_name_parameters_that_exist(name):
    pipeline = clone(readout(name, encoder()))
    for parameter, values in READOUTS[name].grid.items():
        for value in values:
            pipeline.set_params(**{parameter: value})


def test_a_grid_search_runs_through_the_whole_pipeline():
    sequences, labels = waves()
    grid = {"classifier__gamma": READOUTS["svm"].grid["classifier__gamma"], "autoencoder__memory_size": [1, 6]}
    search = GridSearchCV(readout("svm", encoder()), grid, cv=3).fit(sequences, labels)
    assert search.best_params_["autoencoder__memory_size"] == 6
    assert search.best_score_ > 0.9


def test_an_echo_state_network_is_read_by_the_same_classifiers():
    """The control: states of a random network instead of solved ones."""
    (sequences, labels), (unseen, theirs) = waves(200), waves(100, seed=1)
    layer = echo_state_(LMN(1, 30, 30, dtype=torch.float64), seed=0)

    def states(xs):
        return torch.stack([layer(torch.from_numpy(x))[0][-1] for x in xs]).numpy()

    classifier = make_pipeline(StandardScaler(), READOUTS["svm"].build(0)).fit(states(sequences), labels)
    assert classifier.score(states(unseen), theirs) > 0.9


def test_an_unknown_readout_lists_the_known_ones():
    with pytest.raises(ValueError, match="name must be one of ridge, logistic, .*, got 'forest'"):
        readout("forest", encoder())


def test_the_forget_gates_get_their_bias_and_nothing_else_does():
    torch.manual_seed(0)
    lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    before = {name: parameter.clone() for name, parameter in lstm.named_parameters()}
    forget_bias_(lstm, 1.5)
    for name, parameter in lstm.named_parameters():
        changed = parameter != before[name]
        assert bool(changed.any()) == name.startswith("bias")
        if name.startswith("bias"):
            assert changed.nonzero()[:, 0].tolist() == [4, 5, 6, 7]
            assert (parameter[4:8] == (1.5 if "ih" in name else 0)).all()
    with pytest.raises(ValueError, match="lstm must have biases, got bias=False"):
        forget_bias_(nn.LSTM(3, 4, bias=False))
