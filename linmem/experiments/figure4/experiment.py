"""Figure 4: reconstruction error of a LAES, and accuracy lost when a network is moved into it. [L18, figure 4.]

a: relative error of the best linear code of p numbers (the bound, by SVD) and of the LAES, against p. b: accuracy of an
unfolded network (ULM) and of the LMN initialised from it, before any fine-tuning, against p. c: error of each step of
the first training sequence, decoded from its last state. Parts a and c are measured on the inputs, once, and on the
hidden states of ULMs trained with several seeds; the curves of c are those of the first. L18's curves are not available
to us as numbers; L18 states that the error of c lies in the first steps. The LMN has the ULM's activation (SELU), so
that b shows the effect of the memory size alone.

Symbol: p memory units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from sklearn.base import clone
from torch import Tensor

from linmem import data
from linmem.analysis import memory_curve
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.solvers import Remembered
from linmem.data import Splits
from linmem.experiments.harness.summarize import Result
from linmem.nn.initialize import from_unfolded_
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel
from linmem.nn.unfolded import UnfoldedNetwork
from linmem.training.loop import evaluate, train
from linmem.training.metrics import FrameScores
from linmem.training.options import TrainingOptions
from linmem.training.pretraining import hidden_states
from linmem.training.tasks import NextFrame

TITLE = "Figure 4: error and accuracy against memory units"


@dataclass(frozen=True)
class Config:
    """Data set, the unfolded network's units, lags and epochs, the memory sizes, and the number of seeds."""

    data: str
    hidden_size: int
    lags: int
    max_epochs: int
    sizes: tuple[int, ...]
    seeds: int


GRIDS = {
    "smoke": Config("chorales:12:12:12", 4, 2, 1, (5, 20), 2),
    "paper": Config("jsb_chorales", 50, 10, 400, (10, 50, 100, 250, 500, 1000), 3),
}


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """Yield the errors of the inputs; then for every seed the ULM's epochs, the errors of its hidden states, and b."""
    splits = data.load(config.data)
    yield from _errors("inputs", splits.train, splits.valid, config.sizes, seed)
    for own in range(seed, seed + config.seeds):
        size = ModelOptions("unfolded", config.hidden_size, lags=config.lags)
        unfolded = build_model(size, splits.features, splits.features, own)
        assert isinstance(unfolded, UnfoldedNetwork)
        options = TrainingOptions(max_epochs=config.max_epochs, patience=10, seed=own)
        history = train(unfolded, splits, NextFrame(), options)
        yield {"part": "ulm", "model": "unfolded", "seed": own, "epochs": len(history.epochs)}
        hidden = hidden_states(unfolded, splits.train)
        yield from _errors("hidden states", hidden, hidden_states(unfolded, splits.valid), config.sizes, own)
        yield from _initialized(unfolded, splits, hidden, config.sizes, own)


def _errors(
    source: str, training: list[Tensor], valid: list[Tensor], sizes: Sequence[int], seed: int
) -> Iterator[Result]:
    """Yield the errors of a at every size, and those of c at the largest."""
    solver = LinearAutoencoder(decoder="refit", refine=None, random_state=seed)
    for point in memory_curve.curve(training, valid, sizes, solver):
        yield {"part": "a", "source": source, "seed": seed} | point._asdict()
    fitted = clone(solver).set_params(memory_size=max(sizes)).fit(training)
    _, errors = memory_curve.per_step(fitted, training[0])
    energy = float(training[0].square().sum())
    shares = [round(error / energy, 8) for error in errors.tolist()]
    yield {"part": "c", "source": source, "seed": seed, "memory_size": fitted.memory_size_, "errors": shares}


def _initialized(
    unfolded: UnfoldedNetwork, splits: Splits, hidden: list[Tensor], sizes: Sequence[int], seed: int
) -> Iterator[Result]:
    """Yield the accuracy of the unfolded network and of an LMN of each size that was only initialised from it."""
    solver = Remembered("auto")
    before = _accuracies(unfolded, splits, "ulm")
    for p in sorted(sizes, reverse=True):
        autoencoder = LinearAutoencoder(p, decoder="tied", solver=solver, random_state=seed).fit(hidden)
        options = ModelOptions("lmn-b", unfolded.hidden_size, p, nonlinearity="selu")
        model = build_model(options, splits.features, splits.features, seed)
        assert isinstance(model, SequenceModel)
        from_unfolded_(model.recurrent, model.readout, unfolded, autoencoder)  # type: ignore[arg-type]
        yield {"part": "b", "seed": seed, "memory_size": p} | before | _accuracies(model, splits, "lmn")


def _accuracies(model: torch.nn.Module, splits: Splits, name: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for split in ("train", "valid"):
        scores = evaluate(model, splits, NextFrame(), split)
        assert isinstance(scores, FrameScores)
        found |= {f"{name}_{split}_accuracy": 100 * scores.accuracy, f"{name}_{split}_nll": scores.nll}
    return found
