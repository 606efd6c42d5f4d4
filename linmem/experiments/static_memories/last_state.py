"""The last state of a linear memory, and its readouts: scikit-learn's classifiers and deep networks. [S20]

The state after the last step is one matrix product, y_T = Σ_t B^{T−t} A x_t: for sequences of equal length a (T·a, p)
kernel, so that all of MNIST is encoded in a second. A deep readout is a network of ReLU layers with dropout, trained on
the last states: with the memory, it is a linear projection of all inputs followed by an MLP. Nothing is propagated back
through time.

Symbols: n sequences, T steps, a features, p memory units, o classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional as F

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.data import LabelledSplits
from linmem.data.sealed import SealedMapping, readable_splits
from linmem.estimators.readouts import READOUTS
from linmem.training.loop import train
from linmem.training.options import TrainingOptions
from linmem.training.tasks import Classes


class States(NamedTuple):
    """Last states and classes by split."""

    states: dict[str, Tensor]  # (n, p) float32
    labels: dict[str, Tensor]  # (n,) int64


def kernel(A: Tensor, B: Tensor, steps: int) -> Tensor:
    """Return the kernel (T·a, p) of the last state, whose rows of step t are (B^{T−t} A)ᵀ, from about log₂ T products.

    It is differentiable: its gradient is that of backpropagation through time.
    """
    a, blocks, power = A.shape[1], A, B  # the blocks of the last steps, and the power of B that leads to those before
    while blocks.shape[1] < steps * a:
        blocks, power = torch.cat([power @ blocks, blocks], 1), power @ power
    return blocks[:, -steps * a :].T


def encode(autoencoder: LinearAutoencoder, splits: LabelledSplits) -> States:
    """Return the last states of sequences of one length, by the kernel of an uncentred autoencoder."""
    A, B = (torch.as_tensor(matrix, dtype=torch.float64) for matrix in (autoencoder.A_, autoencoder.B_))
    return project(splits, kernel(A, B, len(splits.train[0])).float())


def project(splits: LabelledSplits, weights: Tensor | None = None) -> States:
    """Return sequences of one length times `weights` (T·a, p) in the place of states; without them, all their steps."""
    steps = {name: torch.stack(getattr(splits, name)).flatten(1) for name in readable_splits()}
    states = steps if weights is None else {name: x @ weights for name, x in steps.items()}
    return States(states if "test" in states else SealedMapping(states), splits.labels)


def fit_classifier(
    name: str,
    found: States,
    grid: Mapping[str, Sequence[Any]],
    images: int | None,
    seed: int,
    with_test: Callable[[], States],
) -> dict[str, Any]:
    """Fit a classifier of `linmem.estimators.readouts` to the first `images` states; evaluate the best on test.

    `grid` holds the values of the classifier's parameters to try, such as {"C": [1, 4]}; valid chooses. `with_test`
    reads the states of the test split and is called once, after the choice.
    """
    began = time.process_time()
    x, y = ({split: values.numpy() for split, values in part.items()} for part in found)
    x["train"], y["train"] = x["train"][:images], y["train"][:images]
    best: Any = None
    for point in ParameterGrid(grid):
        classifier = make_pipeline(StandardScaler(), READOUTS[name].build(seed).set_params(**point))
        accuracy = classifier.fit(x["train"], y["train"]).score(x["valid"], y["valid"])
        if best is None or accuracy > best[0]:
            best = accuracy, point, classifier
    accuracy, point, classifier = best
    states, labels = with_test()
    return {
        "images": len(x["train"]),
        "hyperparameters": {key: list(value) if isinstance(value, tuple) else value for key, value in point.items()},
        "valid_accuracy": 100 * accuracy,
        "test_accuracy": 100 * classifier.score(states["test"].numpy(), labels["test"].numpy()),
        "cpu_seconds": round(time.process_time() - began, 2),
    }


@dataclass(frozen=True)
class DeepVariant:
    """Units of the hidden layers, and the probability of zeroing a standardised state and a hidden unit.

    Standard deviations of inputs count at least `smallest_scale` times that of all numbers together.
    """

    widths: tuple[int, ...]
    input_dropout: float
    dropout: float
    smallest_scale: float = 0.0


class DeepReadout(nn.Module):
    """ReLU layers with dropout on standardised states; called like a recurrent network on sequences of one step.

    Parameters
    ----------
    states : Tensor
        (n, p), of the training set: their mean and standard deviation standardise.
    variant : DeepVariant
        Layers, dropout and smallest scale.
    outputs : int
        o.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, states: Tensor, variant: DeepVariant, outputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", states.mean(0))
        self.register_buffer("scale", states.std(0).clamp_min(max(1e-6, variant.smallest_scale * states.std().item())))
        layers: list[nn.Module] = [nn.Dropout(variant.input_dropout)]
        before = states.shape[1]
        for width in variant.widths:
            layers += [nn.Linear(before, width), nn.ReLU(), nn.Dropout(variant.dropout)]
            before = width
        self.layers = nn.Sequential(*layers, nn.Linear(before, outputs))

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Map `x` (…, p) to logits (…, o)."""
        return self.layers((x - self.mean) / self.scale), None


class TrainedReadout(NamedTuple):
    """A trained deep readout, or a network that has one."""

    readout: nn.Module
    epochs: int
    best_epoch: int
    valid_loss: float
    cpu_seconds: float


def train_deep(
    found: States, build: Callable[[], nn.Module], options: TrainingOptions, checkpoint: Path
) -> TrainedReadout:
    """Train the network that `build` returns, such as a deep readout, on states; or continue from `checkpoint`."""
    training, valid = (list(found.states[split].unsqueeze(1)) for split in ("train", "valid"))
    splits = LabelledSplits("last states", training, valid, [], labels=found.labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = build()
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    history = train(network, splits, Classes(), options, checkpoint=checkpoint)
    seconds = sum(row.cpu_seconds or 0.0 for row in history.epochs)
    return TrainedReadout(network.eval(), len(history.epochs), history.best_epoch, history.best.valid_loss, seconds)


@torch.no_grad()
def accuracy_percent(readouts: Sequence[nn.Module], several: Sequence[States], split: str) -> float:
    """Return the accuracy of one readout, or of the mean probability of several, each on its own states."""
    logits = [readout(one.states[split])[0] for readout, one in zip(readouts, several, strict=True)]
    predicted = torch.stack([F.softmax(one, 1) for one in logits]).mean(0).argmax(1)
    return 100 * float((predicted == several[0].labels[split]).double().mean())
