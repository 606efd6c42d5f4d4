"""How should a memory begin? An LMN-B trained on the chorales from four initial memories, several seeds each.

`speeds` is the layer's own: W_mm = diag(0 … 0.99), W_hm scaled to unit gain, W_mh by 0.1. The others change the memory
alone, with W_hm and W_mh as in `torch.nn.Linear`. Ten minutes on one thread; `--seeds 1` takes three.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from torch import nn

from linmem import data, tables
from linmem.model import ModelOptions, build_model
from linmem.tasks import NextFrame
from linmem.training import TrainingOptions, train


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


BEGINNINGS = {"random": random_memory, "0.9 I": leaky, "0.95 orthogonal": orthogonal, "speeds": lambda layer: None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max_epochs", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    splits, rows = data.load("chorales"), []
    for name, begin in BEGINNINGS.items():
        losses, epochs = [], []
        for seed in range(arguments.seeds):
            model = build_model(ModelOptions("lmn-b", 100, 250), 88, 88, seed)
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                begin(model.recurrent)
            options = TrainingOptions(max_epochs=arguments.max_epochs, patience=15, seed=seed)
            history = train(model, splits, NextFrame(), options)
            losses.append(history.best.valid_loss)
            epochs.append(history.best_epoch)
        rows.append(
            {
                "W_mm at the start": name,
                "best valid NLL": statistics.mean(losses),
                "lowest": min(losses),
                "highest": max(losses),
                "best epoch": statistics.mean(epochs),
            }
        )
        print(f"{name}: {losses}", flush=True)
    print(f"\nLMN-B(100, 250), chorales, {arguments.seeds} seeds, one thread, torch {torch.__version__}\n")
    print(tables.markdown(rows, {"best valid NLL": 3, "lowest": 3, "highest": 3, "best epoch": 0}))


if __name__ == "__main__":
    main()
