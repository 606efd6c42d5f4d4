"""Training of W_mm at the full learning rate (`memory_lr_scale` 1) against a tenth of it, by validation NLL.

Each model is trained with both rates from the same initial weights; other options are those of `linmem train` or of the
retired protocol "regularized" of table 2. A run whose loss is not finite counts as diverged. Printed are the NLL of
every seed and the mean of the differences; "no worse" means a mean difference below the spread over seeds.

    python benchmarks/memory_rate.py --sets chorales jsb_chorales     # an interrupted run continues
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from linmem import data
from linmem.nn.initialize import set_output_bias_
from linmem.nn.registry import ModelOptions, build_model
from linmem.reporting import tables
from linmem.runs.queue import run_jobs
from linmem.training.loop import DivergenceError, train_on_examples
from linmem.training.options import TrainingOptions
from linmem.training.pretraining import pretrain
from linmem.training.tasks import NextFrame

SETS = ("chorales", "jsb_chorales", "piano_midi", "nottingham")
RATES = (0.1, 1.0)
DEFAULT = TrainingOptions()
OWN = TrainingOptions(learning_rate=3e-3, batch_size=8, clip=0.25, ema_decay=0.98, patience=10)
MODELS: dict[str, tuple[ModelOptions, TrainingOptions, bool]] = {  # model, training, pretrained
    "LMN-B (100, 250) tanh, defaults": (ModelOptions("lmn-b"), DEFAULT, False),
    "LMN-B (100, 250) tanh, pretrained, defaults": (ModelOptions("lmn-b"), DEFAULT, True),
    "LMN-A (100, 250) tanh, defaults": (ModelOptions("lmn-a"), DEFAULT, False),
    "LMN-B (250, 200) relu, regularized": (
        ModelOptions("lmn-b", 250, 200, nonlinearity="relu", input_dropout=0.2, readout_dropout=0.5),
        OWN,
        False,
    ),
    "LMN-B (100, 250) relu, regularized, pretrained": (
        ModelOptions("lmn-b", 100, 250, nonlinearity="relu", input_dropout=0.1, readout_dropout=0.3),
        OWN,
        True,
    ),
}


def trained(name: str, kind: str, rate: float, seed: int, max_epochs: int, folder: Path) -> dict[str, Any]:
    """Lowest validation NLL of one run, its epochs and CPU seconds."""
    splits, task = data.load(name), NextFrame()
    training, valid = task.examples(splits, "train"), task.examples(splits, "valid")
    model_options, options, pretrained = MODELS[kind]
    features = training.inputs[0].shape[1]
    model: Any = build_model(model_options, features, features, seed)
    set_output_bias_(model, task.constant(torch.cat(training.targets), features))
    options = replace(options, memory_lr_scale=rate, seed=seed, max_epochs=max_epochs)
    started = time.process_time()
    if pretrained:  # the unfolded network has no W_mm: both rates start from the same one
        dropout = (model_options.input_dropout, model_options.readout_dropout)
        pretrain(
            model.recurrent,
            model.readout,
            *training,
            valid=valid,
            lags=3,
            nonlinearity=model_options.nonlinearity,
            dropout=dropout,
            lag_decay=0.5,
            options=replace(options, memory_lr_scale=RATES[0]),  # not used, but compared when resuming
            task=task,
            checkpoint=folder / f"{name}_{kind}_{seed}_{max_epochs}_unfolded.safetensors".replace(" ", "_"),
        )
    checkpoint = folder / f"{name}_{kind}_{rate:g}_{seed}_{max_epochs}.safetensors".replace(" ", "_")
    try:
        history = train_on_examples(model, task, training, valid, options, checkpoint=checkpoint)
    except DivergenceError:
        return {"nll": None, "epochs": 0, "best_epoch": 0, "cpu_seconds": time.process_time() - started}
    return {
        "nll": history.best.valid_loss,
        "epochs": len(history.epochs),
        "best_epoch": history.best_epoch,
        "cpu_seconds": time.process_time() - started,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["chorales", "jsb_chorales"])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--max_epochs", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("runs/memory-rate"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    cells = [(name, kind) for name in options.sets for kind in options.models]
    jobs = {
        f"{name}_{kind}_{rate:g}_{seed}_{options.max_epochs}".replace(" ", "_"): partial(
            trained, name, kind, rate, seed, options.max_epochs, options.out
        )
        for seed in range(options.seeds)
        for name, kind in cells
        for rate in RATES
    }
    found = run_jobs(options.out, jobs, progress=True)
    rows = []
    for name, kind in cells:
        runs = {
            rate: [
                found[f"{name}_{kind}_{rate:g}_{seed}_{options.max_epochs}".replace(" ", "_")]
                for seed in range(options.seeds)
            ]
            for rate in RATES
        }
        row: dict[str, Any] = {"set": name, "model": kind}
        for rate in RATES:
            row[f"rate {rate:g}"] = ", ".join(
                "diverged" if run["nll"] is None else f"{run['nll']:.3f}" for run in runs[rate]
            )
            row[f"best epochs, {rate:g}"] = ", ".join(str(run["best_epoch"]) for run in runs[rate])
        pairs = [(a["nll"], b["nll"]) for a, b in zip(*runs.values(), strict=True)]
        complete = all(a is not None and b is not None for a, b in pairs)
        row["full − tenth"] = f"{statistics.mean(b - a for a, b in pairs):+.3f}" if complete else "diverged"
        rows.append(row)
    print(
        f"\nvalid NLL, seeds 0 to {options.seeds - 1}, at most {options.max_epochs} epochs, torch {torch.__version__}\n"
    )
    print(tables.markdown(rows, {}))


if __name__ == "__main__":
    main()
