"""How should a memory begin, and how fast may it learn? An LMN-B on the chorales, several seeds each.

`speeds` is the layer's own: W_mm = diag(0 … 0.99), W_hm scaled to unit gain, W_mh by 0.1. The others change the memory
alone, with W_hm and W_mh as in `torch.nn.Linear`. Each is trained with W_mm learning at a tenth of the others' rate
(`memory_rate`), which is the default, and at the same rate, as in the papers. ρ is the spectral radius of W_mm: of a
memory with ρ > 1 some direction grows with every step. Ten minutes on one thread; a run that was cut goes on.
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

from linmem import data, tables
from linmem.experiments.work import shared
from linmem.gradients import spectrum
from linmem.model import ModelOptions, build_model
from linmem.tasks import NextFrame
from linmem.training import TrainingOptions, train

RATES = (0.1, 1.0)


def uniform_maps(layer: nn.Module) -> None:
    """Undo what the layer does to W_hm and W_mh."""
    for weight in (layer.weight_hm_l0, layer.weight_mh_l0):
        bound = weight.shape[1] ** -0.5
        nn.init.uniform_(weight, -bound, bound)


def random_memory(layer: nn.Module) -> None:
    uniform_maps(layer)
    bound = layer.memory_size**-0.5
    nn.init.uniform_(layer.weight_mm_l0, -bound, bound)


def leaky(layer: nn.Module) -> None:
    uniform_maps(layer)
    nn.init.eye_(layer.weight_mm_l0).mul_(0.9)


def orthogonal(layer: nn.Module) -> None:
    uniform_maps(layer)
    nn.init.orthogonal_(layer.weight_mm_l0).mul_(0.95)


BEGINNINGS: dict[str, Callable[[nn.Module], object]] = {
    "random": random_memory,
    "0.9 I": leaky,
    "0.95 orthogonal": orthogonal,
    "speeds": lambda layer: None,
}


def trained(name: str, rate: float, seed: int, max_epochs: int) -> dict[str, Any]:
    """Train once; the losses of all epochs, and the spectral radius of W_mm at the start and after each of them."""
    model = build_model(ModelOptions("lmn-b", 100, 250), 88, 88, seed)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BEGINNINGS[name](model.recurrent)
    radii = [float(spectrum(model.recurrent.weight_mm_l0)[0])]
    losses: list[float] = []

    def look(state: Any) -> None:
        radii.append(float(spectrum(state.model.recurrent.weight_mm_l0)[0]))
        losses.append(state.history[-1].valid_loss)

    options = TrainingOptions(max_epochs=max_epochs, patience=15, memory_rate=rate, seed=seed)
    try:
        train(model, data.load("chorales"), NextFrame(), options, after_epoch=look)
    except ValueError as error:
        print(f"{name}, memory_rate {rate:g}, seed {seed}: {error}", flush=True)
    return {"losses": losses, "radii": radii}


def row(name: str, rate: float, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the seeds of one beginning and rate have in common."""
    best = [min(range(len(run["losses"])), key=run["losses"].__getitem__) for run in runs]
    losses = [run["losses"][epoch] for run, epoch in zip(runs, best, strict=True)]
    kept = [run["radii"][epoch + 1] for run, epoch in zip(runs, best, strict=True)]
    return {
        "W_mm at the start": name,
        "memory_rate": f"{rate:g}",
        "best valid NLL": statistics.mean(losses),
        "lowest": min(losses),
        "highest": max(losses),
        "best epoch": statistics.mean(epoch + 1 for epoch in best),
        "worst NLL after it": max(max(run["losses"][epoch:]) for run, epoch in zip(runs, best, strict=True)),
        "ρ at the start": statistics.mean(run["radii"][0] for run in runs),
        "after 1 epoch": statistics.mean(run["radii"][1] for run in runs),
        "of the best": statistics.mean(kept),
        "highest ρ": max(max(run["radii"]) for run in runs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max_epochs", type=int, default=100)
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
    found = list(shared(arguments.out, jobs, progress=True).values())
    rows = [row(*cell, found[index :: len(cells)]) for index, cell in enumerate(cells)]
    print(f"\nLMN-B(100, 250), chorales, {arguments.seeds} seeds, one thread, torch {torch.__version__}\n")
    three = ("best valid NLL", "lowest", "highest", "ρ at the start", "after 1 epoch", "of the best", "highest ρ")
    print(tables.markdown(rows, dict.fromkeys(three, 3) | {"best epoch": 0}))


if __name__ == "__main__":
    main()
