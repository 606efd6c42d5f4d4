"""Initializations and learning rates of the memory: an LMN-B on the chorales, several seeds each.

`speeds` is the layer's default: W_mm = diag(0 … 0.99), W_hm scaled to unit gain, W_mh by 0.1. `random`, `0.9 I` and
`0.95 orthogonal` change the memory alone, with W_hm and W_mh as in `torch.nn.Linear`; `solved` is L18's pretraining,
eight epochs of an unfolded network. Each is trained with W_mm learning at a tenth of the others' rate
(`memory_lr_scale`), which is the default, and at the same rate, as in the papers.
ρ is the spectral radius of W_mm: with ρ > 1 some direction of the memory grows with every step. Four minutes per seed
on one thread; an interrupted run continues.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn

from linmem import data
from linmem.analysis.gradient_norms import spectrum
from linmem.nn.lmn import LMN
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel
from linmem.reporting import tables
from linmem.runs.queue import run_jobs
from linmem.training.loop import (
    DivergenceError,
    train,
)
from linmem.training.options import TrainingOptions
from linmem.training.pretraining import pretrain
from linmem.training.tasks import NextFrame

RATES = (0.1, 1.0)


def uniform_maps(model: SequenceModel) -> LMN:
    """Undo what the layer does to W_hm and W_mh."""
    layer = model.recurrent
    assert isinstance(layer, LMN)
    for weight in (layer.weight_hm_l0, layer.weight_mh_l0):
        bound = weight.shape[1] ** -0.5
        nn.init.uniform_(weight, -bound, bound)
    return layer


def random_memory(model: SequenceModel, seed: int) -> None:
    layer = uniform_maps(model)
    bound = layer.memory_size**-0.5
    nn.init.uniform_(layer.weight_mm_l0, -bound, bound)


def leaky(model: SequenceModel, seed: int) -> None:
    nn.init.eye_(uniform_maps(model).weight_mm_l0).mul_(0.9)


def orthogonal(model: SequenceModel, seed: int) -> None:
    nn.init.orthogonal_(uniform_maps(model).weight_mm_l0).mul_(0.95)


def speeds(model: SequenceModel, seed: int) -> None:
    """Leave the layer as it is."""


def solved(model: SequenceModel, seed: int) -> None:
    """L18's three steps, with a short first one."""
    splits, task = data.load("chorales"), NextFrame()
    training, valid = (task.examples(splits, split) for split in ("train", "valid"))
    options = TrainingOptions(max_epochs=8, seed=seed)
    with torch.enable_grad():
        pretrain(
            model.recurrent, model.readout, *training, valid=valid, nonlinearity="tanh", options=options, task=task
        )


BEGINNINGS: dict[str, Callable[[SequenceModel, int], None]] = {
    "random": random_memory,
    "0.9 I": leaky,
    "0.95 orthogonal": orthogonal,
    "speeds": speeds,
    "solved": solved,
}


def trained(name: str, rate: float, seed: int, max_epochs: int) -> dict[str, Any]:
    """Train once; the losses of all epochs, and the spectral radius of W_mm at the start and after each of them."""
    model = build_model(ModelOptions("lmn-b", 100, 250), 88, 88, seed)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BEGINNINGS[name](model, seed)
    radii = [float(spectrum(model.recurrent.weight_mm_l0)[0])]
    losses: list[float] = []

    def look(state: Any) -> None:
        radii.append(float(spectrum(state.model.recurrent.weight_mm_l0)[0]))
        losses.append(state.history[-1].valid_loss)

    options = TrainingOptions(max_epochs=max_epochs, patience=15, memory_lr_scale=rate, seed=seed)
    try:
        train(model, data.load("chorales"), NextFrame(), options, after_epoch=look)
    except DivergenceError as error:
        print(f"{name}, memory_lr_scale {rate:g}, seed {seed}: {error}", flush=True)
    return {"losses": losses, "radii": radii}


def row(name: str, rate: float, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the seeds of one beginning and rate have in common."""
    best = [min(range(len(run["losses"])), key=run["losses"].__getitem__) for run in runs]
    losses = [run["losses"][epoch] for run, epoch in zip(runs, best, strict=True)]
    found = {
        "best valid NLL": losses,
        "ρ at the start": [run["radii"][0] for run in runs],
        "after 1 epoch": [run["radii"][1] for run in runs],
        "of the best epoch": [run["radii"][epoch + 1] for run, epoch in zip(runs, best, strict=True)],
        "highest": [max(run["radii"]) for run in runs],
    }
    return {
        "W_mm at the start": name,
        "memory_lr_scale": f"{rate:g}",
        "best epoch": statistics.mean(e + 1 for e in best),
    } | {what: spread(values) for what, values in found.items()}


def spread(values: list[float]) -> str:
    """Mean, and the range where there are several."""
    mean, low, high = (f"{value:.3f}" for value in (statistics.mean(values), min(values), max(values)))
    return mean if low == high else f"{mean} ({low} … {high})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max_epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("runs/lmn-initialization"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cells = list(product(BEGINNINGS, RATES))
    jobs = {
        f"{name} {rate:g} {seed} {arguments.max_epochs}".replace(" ", "_"): partial(
            trained, name, rate, seed, arguments.max_epochs
        )
        for seed in range(arguments.seeds)
        for name, rate in cells
    }
    found = list(run_jobs(arguments.out, jobs, progress=True).values())
    rows = [row(*cell, found[index :: len(cells)]) for index, cell in enumerate(cells)]
    print(f"\nLMN-B(100, 250), chorales, {arguments.seeds} seeds, one thread, torch {torch.__version__}\n")
    print(tables.markdown(rows, {"best epoch": 0}))


if __name__ == "__main__":
    main()
