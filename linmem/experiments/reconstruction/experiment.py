"""Reconstruction of whole sequences from their last state, by a solved autoencoder and by trained ones. [S20.]

Error = Σ ‖x − x̂‖² / Σ ‖x‖² over all steps of all sequences of a split, decoded from p units after the last step; a
reconstruction of zeros has error 1. The trained autoencoders (RNN, LSTM, LMN-B) read a sequence and then output it, the
last step first, trained by backpropagation through both (`linmem.training.tasks.Recall`), with the best epoch on valid.
They train until the loss on valid has not improved for `patience` epochs, or their epochs have taken 100 times the CPU
time of the LAES of their size; one learning rate. Where their error equals that of the mean step they learned nothing
in that time, and no conclusion about trained autoencoders in general follows.

An LSTM's state holds 2 p numbers. A LAES is fitted to the past of every step, a harder objective. No linear code of p
numbers has an error below the bounds (Eckart–Young), one for whole sequences and one for all pasts, on the training
split; a network is not linear and may. S20's figures are not available to us.

Symbols: T steps, a features, p memory units.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import cast

import torch
from torch import Tensor

from linmem import data
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.data import Splits
from linmem.data.sealed import seal
from linmem.data.synthetic import mackey_glass
from linmem.experiments.harness.jobs import job_name, run_cases, run_job
from linmem.experiments.harness.reads_of_test import read_test
from linmem.experiments.harness.summarize import Result
from linmem.experiments.harness.training import train_until_divergence
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import parameter_count
from linmem.sequences import pad
from linmem.training.options import TrainingOptions
from linmem.training.tasks import NextValue, Recall, Task

TITLE = "Reconstruction of whole sequences: solved and trained autoencoders"
NETWORKS = {"RNN": "rnn", "LSTM": "lstm", "LMN-B": "lmn-b"}
DECODERS = {"LAES, tied": ("tied", None), "LAES": ("refit", "decoder")}
SERIES = "Mackey-Glass, τ = 17"
RATE = 5e-3  # at p = 100 on JSB, 25 epochs, valid 0.794 for an LSTM (1e-3: 0.800), 0.744 for an LMN-B (0.762)
BUDGET = 100  # CPU time of a network's epochs, relative to that of the LAES
UNLIMITED = 10**5  # epochs


@dataclass(frozen=True)
class SetPlan:
    """A data set, or Mackey-Glass series where `counts` has the sequences of each split; sizes and training."""

    name: str
    units: tuple[int, ...]
    trained_units: tuple[int, ...]
    patience: int
    batch_size: int
    max_epochs: int = UNLIMITED
    counts: tuple[int, int, int] | None = None
    steps: int = 0

    def seeds(self, seeds: Sequence[int]) -> Sequence[int]:
        """Return the seeds that a solution depends on: the first alone where the data are fixed."""
        return seeds if self.counts else seeds[:1]


@dataclass(frozen=True)
class Config:
    """Seeds and data sets."""

    seeds: int
    sets: tuple[SetPlan, ...]


GRIDS = {
    "smoke": Config(
        1,
        (
            SetPlan("chorales:8:8:8", (5,), (5,), 1, 8, 1),
            SetPlan(SERIES, (4, 8), (8,), 2, 2, 2, (2, 1, 1), 40),
        ),
    ),
    "small": Config(
        3,
        (
            SetPlan("jsb_chorales", (50, 100, 200), (50,), 20, 8),
            SetPlan(SERIES, (10, 25, 50), (25,), 100, 4, counts=(24, 8, 8), steps=400),
        ),
    ),
    "paper": Config(
        3,
        (
            SetPlan("jsb_chorales", (50, 100, 200), (50, 100, 200), 50, 8),
            SetPlan(SERIES, (10, 25, 50), (10, 25, 50), 200, 4, counts=(24, 8, 8), steps=400),
        ),
    ),
}


class RecallValues(NextValue):
    """Output a series of real numbers, the last step first."""

    examples = Recall.examples


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """One result per set, size, method and seed."""
    seeds = range(seed, seed + config.seeds)
    for plan in config.sets:
        for p in plan.units:
            solved = run_cases(work, _solve, [(plan, p, name, s) for s in plan.seeds(seeds) for name in DECODERS])
            yield from solved
            seconds = mean(one["cpu_seconds"] for one in solved if one["method"] == "LAES")
            for network in NETWORKS if p in plan.trained_units else ():
                yield from (train_network(plan, p, network, seconds, s, work) for s in seeds)
    for plan in config.sets:
        yield from run_cases(work, _predict_mean, [(plan, s) for s in plan.seeds(seeds)])


def load_sequences(plan: SetPlan, seed: int) -> Splits:
    """Load a data set, or draw Mackey-Glass series from initial values by `seed`, less the training split's mean."""
    if plan.counts is None:
        return data.load(plan.name)
    starts, parts = iter(range(1000 * seed, 1000 * (seed + 1))), []
    for count in plan.counts:
        parts.append([mackey_glass(plan.steps, tau=17, seed=next(starts), washout=200) for _ in range(count)])
    mean = torch.cat(parts[0]).mean()
    train, valid, test = ([x - mean for x in part] for part in parts)
    return seal(Splits(plan.name, train, valid, test))


def relative_error(sequences: Sequence[Tensor], reconstructed: Sequence[Tensor]) -> float:
    """Return Σ ‖x − x̂‖² / Σ ‖x‖² over (T_i, a) sequences."""
    error = sum(float((x - y).double().square().sum()) for x, y in zip(sequences, reconstructed, strict=True))
    return error / sum(float(x.double().square().sum()) for x in sequences)


def whole_bound(sequences: Sequence[Tensor], p: int) -> float:
    """Return the least error of a linear code of p numbers for whole sequences; 0 for p sequences or fewer."""
    rows = pad([x.double().flip(0) for x in sequences]).values.flatten(1)
    energies = torch.linalg.eigvalsh(rows @ rows.T).flip(0).clamp_min(0)
    return float(energies[p:].sum() / energies.sum())


def decode_last_states(autoencoder: LinearAutoencoder, sequences: Sequence[Tensor]) -> list[Tensor]:
    """Decode each sequence from its last state."""
    states = autoencoder.transform(list(sequences))
    return [autoencoder.decode(state[None], len(x))[0] for state, x in zip(states, sequences, strict=True)]


@torch.no_grad()
def reconstruct(model: torch.nn.Module, task: Task, splits: Splits, split: str) -> list[Tensor]:
    """Reconstruct each sequence with a trained network."""
    inputs, _ = task.examples(splits, split)
    model.eval()
    outputs = [model(x[None])[0][0][len(x) // 2 :].flip(0) for x in inputs]
    return [torch.sigmoid(y) for y in outputs] if isinstance(task, Recall) else outputs


def _errors(plan: SetPlan, seed: int, model: str, decode: Callable[[Splits, str], Sequence[Tensor]]) -> Result:
    """Return the relative error of every split of a data set, as `decode` reconstructs it."""

    def error(split: str) -> float:
        splits = load_sequences(plan, seed)
        return relative_error(getattr(splits, split), decode(splits, split))

    test = read_test(partial(error, "test"), model=model, data=plan.name)
    return {"train": error("train"), "valid": error("valid"), "test": test}


def _predict_mean(plan: SetPlan, seed: int) -> Result:
    """Return the error without any memory: the training split's mean step."""
    splits = load_sequences(plan, seed)
    step = torch.cat(splits.train).mean(0)
    errors = _errors(plan, seed, "mean step", lambda loaded, split: [step.expand_as(x) for x in getattr(loaded, split)])
    head = {"set": plan.name, "units": 0, "method": "mean step", "seed": seed, "cpu_seconds": 0.0}
    return head | errors | {"parameters": len(step)}


def _solve(plan: SetPlan, p: int, label: str, seed: int) -> Result:
    splits, (decoder, refine) = load_sequences(plan, seed), DECODERS[label]
    began = time.process_time()
    solved = LinearAutoencoder(p, decoder=decoder, refine=refine, random_state=seed).fit(splits.train)
    seconds = round(time.process_time() - began, 2)
    errors = _errors(plan, seed, label, lambda loaded, split: decode_last_states(solved, getattr(loaded, split)))
    head = {"set": plan.name, "units": p, "method": label, "seed": seed, "cpu_seconds": seconds}
    pasts = {"all_pasts": solved.training_error_, "all_pasts_bound": solved.optimal_error_}
    weights = solved.A_.numel() + solved.B_.numel() + (0 if decoder == "tied" else solved.C_.numel())
    return head | errors | pasts | {"bound": whole_bound(splits.train, p), "parameters": weights}


def train_network(plan: SetPlan, p: int, network: str, seconds: float, seed: int, work: Path) -> Result:
    """Train an autoencoder for at most 100 times the CPU `seconds` of the LAES, unless that is done."""
    job = partial(_train, plan, p, network, max(BUDGET * seconds, 1.0), seed)
    return cast(Result, run_job(work, job_name("train", plan, p, network, seed), job))


def _train(plan: SetPlan, p: int, network: str, cpu_seconds: float, seed: int) -> Result:
    splits, began = load_sequences(plan, seed), time.process_time()
    task: Task = Recall() if splits.kind == "piano_roll" else RecallValues()
    model = build_model(ModelOptions(NETWORKS[network], p, p), splits.features + 1, splits.features, seed)
    options = TrainingOptions(RATE, plan.batch_size, plan.max_epochs, plan.patience, seed=seed)
    training = train_until_divergence(model, splits, task, options, cpu_seconds)
    seconds = round(time.process_time() - began, 2)
    errors = _errors(plan, seed, network, partial(reconstruct, model, task))
    head = {"set": plan.name, "units": p, "method": network, "seed": seed, "cpu_seconds": seconds}
    budget = {"learning_rate": RATE, "cpu_budget": round(cpu_seconds, 1), "parameters": parameter_count(model)}
    return head | errors | budget | training._asdict()
