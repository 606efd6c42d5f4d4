"""Choose the demo's models on the validation split of the chorales: twelve trials per model.

Each model gets two learning rates, three dropouts, and two values of one more option: an LSTM its units, an LMN-B its
nonlinearity, a pretrained LMN-B its memory decay. Everything else is the demo's EFFORT, with a patience of 20. With
`--rates` each of the demo's models is trained with these learning rates instead, everything else as in the demo. Half
an hour on two cores; an interrupted search continues: each trial is a run in its own folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from linmem.experiments.demo import DATA, EFFORT, MODELS
from linmem.nn.registry import ModelOptions
from linmem.reporting import tables
from linmem.runs import runner
from linmem.runs.options import PretrainingOptions, RunOptions
from linmem.training.loop import DivergenceError

RATES = (1e-3, 3e-3)
DROPOUTS = ((0.0, 0.0), (0.1, 0.3), (0.2, 0.5))
SIZES = {"hidden_size": 250, "memory_size": 200}
PLAIN = PretrainingOptions(output_bias_init="default")


def rate_trials(rates: Sequence[float]) -> Iterator[tuple[str, str, RunOptions]]:
    """Yield the demo's models with other learning rates."""
    for (name, options), rate in product(MODELS.items(), rates):
        yield name, f"lr {rate:g}", replace(options, training=replace(options.training, learning_rate=rate))


def trials() -> Iterator[tuple[str, str, RunOptions]]:
    """Yield model, label and options of every trial."""
    for rate, (inputs, readout) in product(RATES, DROPOUTS):
        training = replace(EFFORT, learning_rate=rate, patience=20)
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
    """Run one trial, or read it if it is complete; return None if training diverged."""
    torch.set_num_threads(1)
    where = folder / f"{model} {label}".replace("/", "-").replace(",", "").replace(" ", "_")
    try:
        summary = runner.run(options, where, resume=True)
    except DivergenceError as error:
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
    parser.add_argument("--jobs", type=int, default=2, help="number of parallel trials, one thread each")
    parser.add_argument("--rates", type=float, nargs="*", help="learning rates to try with the demo's models")
    arguments = parser.parse_args()
    plan = rate_trials(arguments.rates) if arguments.rates else trials()
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(partial(trial, arguments.out), *zip(*plan, strict=True)))
    rows = sorted((row for row in results if row), key=lambda row: (row["model"], row["valid NLL"]))
    print(f"\nchorales, seed {EFFORT.seed}, one thread a trial, torch {torch.__version__}\n")
    print(tables.markdown(rows, {"valid NLL": 3}))


if __name__ == "__main__":
    main()
