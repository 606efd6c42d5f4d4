"""How were the demo's models chosen? Twelve trials for each, on the chorales' validation split; the same for all.

Each model gets two learning rates, three dropouts, and two values of the one thing that matters to it most: an LSTM its
units, an LMN-B its nonlinearity, a pretrained LMN-B how fast its memory fades. Everything else is the demo's EFFORT.
Half an hour on two cores; a search that was cut goes on where it was: each trial is a run in its own folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from linmem.experiments.demo import DATA, EFFORT
from linmem.nn.registry import ModelOptions
from linmem.reporting import tables
from linmem.runs import runner
from linmem.runs.directory import (
    PretrainingOptions,
    RunOptions,
)

RATES = (1e-3, 3e-3)
DROPOUTS = ((0.0, 0.0), (0.1, 0.3), (0.2, 0.5))
SIZES = {"hidden_size": 250, "memory_size": 200}
PLAIN = PretrainingOptions(output_bias_init="default")


def trials() -> Iterator[tuple[str, str, RunOptions]]:
    """Model, a name, and options of every trial."""
    for rate, (inputs, readout) in product(RATES, DROPOUTS):
        training = replace(EFFORT, learning_rate=rate)
        dropout = {"input_dropout": inputs, "readout_dropout": readout}
        label = f"lr {rate:g}, dropout {inputs:g}/{readout:g}"
        for units in (100, 250):
            yield (
                "LSTM",
                f"{units} units, {label}",
                RunOptions(DATA, ModelOptions("lstm", units, **dropout), training, PLAIN),
            )
        for sigma in ("tanh", "relu"):
            network = ModelOptions("lmn-b", nonlinearity=sigma, **SIZES, **dropout)
            yield "LMN-B", f"{sigma}, {label}", RunOptions(DATA, network, training, PLAIN)
        for decay in (1.0, 0.3):
            network = ModelOptions("lmn-b", nonlinearity="relu", lags=4, **SIZES, **dropout)
            begin = replace(
                PLAIN, pretrain="unfolded", pretrain_epochs=25, unfolded_nonlinearity="relu", memory_decay=decay
            )
            yield (
                "pretrained LMN-B",
                f"memory_decay {decay:g}, {label}",
                RunOptions(DATA, network, training, begin),
            )


def trial(folder: Path, model: str, label: str, options: RunOptions) -> dict[str, Any] | None:
    """Run one trial, or read it if it was run before; None where training diverged."""
    torch.set_num_threads(1)
    where = folder / f"{model} {label}".replace("/", "-").replace(",", "").replace(" ", "_")
    try:
        summary = runner.run(options, where, resume=True)
    except ValueError as error:
        print(f"{model}, {label}: {error}", flush=True)
        return None
    print(f"{model}, {label}: {summary.scores.loss:.3f}, {100 * summary.scores.accuracy:.2f} %", flush=True)
    return {
        "model": model,
        "trial": label,
        "valid NLL": summary.scores.loss,
        "valid accuracy %": 100 * summary.scores.accuracy,
        "parameters": summary.parameters,
        "best epoch": summary.best_epoch,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/demo-search"))
    parser.add_argument("--jobs", type=int, default=2, help="trials at once, one thread each")
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(partial(trial, arguments.out), *zip(*trials(), strict=True)))
    rows = sorted((row for row in results if row), key=lambda row: (row["model"], row["valid NLL"]))
    print(f"\nchorales, seed {EFFORT.seed}, one thread a trial, torch {torch.__version__}\n")
    print(tables.markdown(rows, {"valid NLL": 3}))


if __name__ == "__main__":
    main()
