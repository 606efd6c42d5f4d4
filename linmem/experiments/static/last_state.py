"""The last state of a linear memory, and what can be read from it: solved readouts, and deep ones. [S20]

Without input noise or nonlinearity the state after the last step is one matrix product, y_T = Σ_t B^{T−t} A x_t: for
sequences of equal length a (T·a, p) kernel, so that all of MNIST is encoded in a second. The readouts without
backpropagation are those of `linmem.estimators.readouts`. A deep readout is a network of ReLU layers with dropout,
trained on the states alone: with the memory before it, it is a recurrent network with a linear, solved
recurrence, as the LMU's without its hidden state. Nothing is propagated back through time.

Letters: n sequences, T steps, a features, p memory units, o classes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
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
from linmem.estimators.readouts import READOUTS
from linmem.training.loop import TrainingOptions, train
from linmem.training.tasks import Classes

SPLITS = ("train", "valid", "test")


class States(NamedTuple):
    """Last states and classes by split."""

    states: dict[str, Tensor]  # (n, p) float32
    labels: dict[str, Tensor]  # (n,) int64


def kernel(autoencoder: LinearAutoencoder, steps: int) -> Tensor:
    """(T·a, p) float64: rows of step t are (B^{T−t} A)ᵀ."""
    A, B = (torch.as_tensor(matrix, dtype=torch.float64) for matrix in (autoencoder.A_, autoencoder.B_))
    blocks = [A]
    for _ in range(steps - 1):
        blocks.append(B @ blocks[-1])
    return torch.cat([block.T for block in reversed(blocks)])


def encode(autoencoder: LinearAutoencoder, splits: LabelledSplits) -> States:
    """Last states of a data set whose sequences are all of one length, by the kernel; the autoencoder is uncentred."""
    weights = kernel(autoencoder, len(splits.train[0])).float()
    states = {name: torch.stack(getattr(splits, name)).flatten(1) @ weights for name in SPLITS}
    return States(states, splits.labels)


def solved(
    name: str, found: States, grid: Mapping[str, Sequence[Any]], pictures: int | None, seed: int
) -> dict[str, Any]:
    """A readout of `linmem.estimators.readouts` on the first `pictures` states; the best on valid is read on test.

    `grid` has the values to be tried of the classifier's parameters, such as {"C": [1, 4]}.
    """
    began = time.process_time()
    x, y = ({split: values.numpy() for split, values in part.items()} for part in found)
    x["train"], y["train"] = x["train"][:pictures], y["train"][:pictures]
    best: Any = None
    for point in ParameterGrid(grid):
        reader = make_pipeline(StandardScaler(), READOUTS[name].build(seed).set_params(**point))
        accuracy = reader.fit(x["train"], y["train"]).score(x["valid"], y["valid"])
        if best is None or accuracy > best[0]:
            best = accuracy, point, reader
    accuracy, point, reader = best
    return {
        "pictures": len(x["train"]),
        "chosen": {key: list(value) if isinstance(value, tuple) else value for key, value in point.items()},
        "valid %": 100 * accuracy,
        "test %": 100 * reader.score(x["test"], y["test"]),
        "CPU s": round(time.process_time() - began, 2),
    }


class DeepReadout(nn.Module):
    """ReLU layers with dropout on standardised states, called like a recurrent network on sequences of one step.

    Parameters
    ----------
    states : (n, p) tensor
        Of the training set: their mean and spread standardise.
    widths : sequence of int
        Units of the hidden layers.
    outputs : int
        o.
    input_dropout, dropout : float
        Probability of zeroing a standardised state, and a hidden unit.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self, states: Tensor, widths: Sequence[int], outputs: int, input_dropout: float, dropout: float
    ) -> None:
        super().__init__()
        self.register_buffer("mean", states.mean(0))
        self.register_buffer("spread", states.std(0).clamp_min(1e-6))
        layers: list[nn.Module] = [nn.Dropout(input_dropout)]
        before = states.shape[1]
        for width in widths:
            layers += [nn.Linear(before, width), nn.ReLU(), nn.Dropout(dropout)]
            before = width
        self.layers = nn.Sequential(*layers, nn.Linear(before, outputs))

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """`x` (…, p) → logits (…, o)."""
        return self.layers((x - self.mean) / self.spread), None


class Deep(NamedTuple):
    """A trained deep readout."""

    readout: DeepReadout
    epochs: int
    best_epoch: int
    valid_loss: float
    cpu_seconds: float


def deep(found: States, variant: Mapping[str, Any], options: TrainingOptions, checkpoint: Path) -> Deep:
    """Train a deep readout, or go on where `checkpoint` is; `variant` has its widths, input_dropout and dropout."""
    training, valid, test = (list(found.states[split].unsqueeze(1)) for split in SPLITS)
    splits = LabelledSplits("last states", training, valid, test, labels=found.labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        readout = DeepReadout(found.states["train"], outputs=splits.classes, **variant)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    history = train(readout, splits, Classes(), options, checkpoint=checkpoint)
    seconds = sum(row.cpu_seconds or 0.0 for row in history.epochs)
    return Deep(readout.eval(), len(history.epochs), history.best_epoch, history.best.valid_loss, seconds)


@torch.no_grad()
def right(readouts: Sequence[DeepReadout], several: Sequence[States], split: str) -> float:
    """Share in per cent of right answers of one readout, or of the mean probability of several, each on its states."""
    answers = [F.softmax(readout(one.states[split])[0], 1) for readout, one in zip(readouts, several, strict=True)]
    named = torch.stack(answers).mean(0).argmax(1)
    return 100 * float((named == several[0].labels[split]).double().mean())
