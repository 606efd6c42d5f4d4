"""Gradients: how much of ∂L/∂m_t and ∂L/∂h_t reaches step t. [S20; pixel-by-pixel MNIST.]

An image is read pixel by pixel and classified after its last step, so the gradient at the first pixels passes through
every state between. In an LMN that path is linear, W_mm; an orthogonal W_mm keeps the norm. Measured on one batch of
the validation split, before training and during it (weights of the best epoch so far, by validation loss): LSTM (forget
bias 1), RNN, and LMN-B with its default initialisation, orthogonal (also constrained to orthogonal W_mm in training),
from the LAES of the inputs, and from it with the gradient from function to memory stochastically detached.

S20's options: 128 units, clip 10, L2 1e-5, Adam at 1e-3 or 1e-4. Here 1e-4 where the memory is solved: at 1e-3 the loss
of its first epoch was millions of nats. S20's curves are not available to us as numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from linmem import data
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.data import LabelledSplits
from linmem.experiments.gradients.norms import norms, reach, recurrent_layer, spectral_radius
from linmem.experiments.harness.jobs import run_job
from linmem.experiments.harness.summarize import Result
from linmem.nn.initialize import fit_readout_, from_autoencoder_
from linmem.nn.lmn import LMN
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel, parameter_count
from linmem.runs.queue import Job, run_jobs
from linmem.training.loop import evaluate, train
from linmem.training.options import TrainingOptions
from linmem.training.tasks import Classes

TITLE = "Gradients: what reaches the first step"
POINTS = 112  # of a stored curve
CHUNK = 500  # sequences encoded at once: all states of all MNIST would take 40 GB


@dataclass(frozen=True)
class Config:
    """Data set, units, sequences of the measured batch and of the LAES, epochs after which to measure, and seeds."""

    data: str
    units: int
    measured: int
    fitted: int
    epochs: tuple[int, ...]
    seeds: int


GRIDS = {
    "smoke": Config("digits:40:8:8", 8, 4, 20, (0, 1), 1),
    "small": Config("psmnist:1280:256:256", 128, 64, 256, (0, 1, 4), 3),
    "paper": Config("psmnist", 128, 64, 1000, (0, 1, 10, 100), 3),
}


class Row(NamedTuple):
    """A model, whether it starts from the LAES of the inputs, and its probability of detaching."""

    model: str
    solved: bool = False
    detach: float = 0.0


MODELS = {
    "LSTM": Row("lstm"),
    "RNN": Row("rnn"),
    "LMN-B": Row("lmn-b"),
    "LMN-B, orthogonal": Row("lmn-orthogonal"),
    "LMN-B, LAES": Row("lmn-b", True),
    "LMN-B, LAES, detach 0.25": Row("lmn-detach", True, 0.25),
    "LMN-B, LAES, detach 1": Row("lmn-detach", True, 1.0),
}


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """One result per seed, model and number of epochs."""
    splits = data.load(config.data)
    assert isinstance(splits, LabelledSplits)

    @cache
    def autoencoder() -> LinearAutoencoder:
        return LinearAutoencoder(config.units, decoder="tied", random_state=seed).fit(splits.train[: config.fitted])

    for own_seed in range(seed, seed + config.seeds):
        folders = {name: work / f"{name.lower().replace(',', '').replace(' ', '-')}-{own_seed}" for name in MODELS}
        jobs: dict[str, Job] = {
            folder.name: partial(_measure_model, name, own_seed, config, splits, autoencoder, folder)
            for name, folder in folders.items()
        }
        for results in run_jobs(work, jobs).values():
            yield from results


def _measure_model(
    name: str,
    seed: int,
    config: Config,
    splits: LabelledSplits,
    autoencoder: Callable[[], LinearAutoencoder],
    folder: Path,
) -> list[Result]:
    """Train one model and measure it after each number of epochs."""
    rate = 1e-4 if MODELS[name].solved else 1e-3
    options = TrainingOptions(rate, 64, clip=10.0, weight_decay=1e-5, memory_lr_scale=1.0, patience=10**6, seed=seed)

    def measure(epochs: int) -> Result:
        model = build(MODELS[name], config.units, splits, seed, autoencoder)
        if epochs:
            checkpoint = folder / "state.safetensors"
            train(model, splits, Classes(), replace(options, max_epochs=epochs), checkpoint=checkpoint)
        x, y = torch.stack(splits.valid[: config.measured]), splits.labels["valid"][: config.measured]
        scores = evaluate(model, splits, Classes(), "valid")
        by_state = norms(model, x, y, MODELS[name].detach)
        return {
            "seed": seed,
            "model": name,
            "epoch": epochs,
            "steps": x.shape[1],
            "valid_accuracy": 100 * scores.accuracy,
            "valid_nll": scores.loss,
            "parameters": parameter_count(model),
            "radius": spectral_radius(model),
            "first_to_last_log10": {state: log10(values[0] / values[-1]) for state, values in by_state.items()},
            "reach": {state: reach(values) for state, values in by_state.items()},
            "norms_log10": {state: [log10(v) for v in thin(values.tolist())] for state, values in by_state.items()},
        }

    return [run_job(folder, f"epoch{n}", partial(measure, n)) for n in config.epochs]


def build(
    row: Row, units: int, splits: LabelledSplits, seed: int, autoencoder: Callable[[], LinearAutoencoder]
) -> SequenceModel:
    """Build and initialise a model; f = p = units in an LMN."""
    options = ModelOptions(row.model, units, units, forget_bias=1.0, detach=row.detach)
    model = build_model(options, splits.features, splits.classes, seed)
    assert isinstance(model, SequenceModel)
    if row.solved:
        solved, layer = autoencoder(), recurrent_layer(model)
        assert isinstance(layer, LMN)
        from_autoencoder_(layer, solved)
        chunks = (splits.train[i : i + CHUNK] for i in range(0, len(splits.train), CHUNK))
        states = torch.cat([torch.as_tensor(solved.transform(chunk)) for chunk in chunks])
        fit_readout_(model.readout, states, Classes().as_outputs(splits.labels["train"], splits.classes))
    return model


def thin(values: Sequence[Any]) -> list[Any]:
    """Return at most POINTS of the values, evenly spaced, with the last one."""
    every = max(1, -(-len(values) // POINTS))
    return list(values[::-1][::every][::-1])


def log10(value: Tensor | float) -> float | None:
    """Return the logarithm; None for zero and for non-finite values."""
    return round(math.log10(value), 3) if 0 < value < math.inf else None
