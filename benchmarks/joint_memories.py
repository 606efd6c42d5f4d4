"""Which memory is best under the same NADE readout: the same small search for each, JSB Chorales, validation split.

    python benchmarks/joint_memories.py                 # runs what --out lacks, best seeds last; prints the tables
    python benchmarks/joint_memories.py --memory lstm   # one memory only
    python benchmarks/joint_memories.py --table         # prints the rows in --out and runs nothing

Every memory has the three trials of GRID (dropouts and learning rates), seed 0, under a NADE of pitch
windows in one order, with the same batches, epochs, cosine schedule, averaged weights and gradient clipping. The
options with the lowest NLL on valid are repeated with other seeds. Test is sealed. NLL in nats per frame over
frames 2..T; a trial that diverges counts as infinite.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from joint_records import MEMORIES, TRAINING, fit, nll, spread

from linmem import data
from linmem.data.sealed import sealed_test
from linmem.nn.initialize import set_output_bias_
from linmem.nn.registry import build_model
from linmem.reporting import tables
from linmem.training.loop import DivergenceError
from linmem.training.tasks import NextFrame

EPOCHS = 20


@dataclass(frozen=True)
class Trial:
    """Options that the search varies."""

    input_dropout: float
    readout_dropout: float
    learning_rate: float

    def __str__(self) -> str:
        return f"{self.input_dropout}, {self.readout_dropout}, {self.learning_rate:g}"


GRID = [Trial(0.15, 0.5, 5e-3), Trial(0.45, 0.7, 5e-3), Trial(0.15, 0.5, 2e-3)]


def run(memory: str, trial: Trial, seed: int) -> dict[str, object]:
    """Train one trial and measure it on valid."""
    model_options = replace(
        MEMORIES[memory], nade_orders=1, input_dropout=trial.input_dropout, readout_dropout=trial.readout_dropout
    )
    options = replace(
        TRAINING, learning_rate=trial.learning_rate, clip=1.0, seed=seed, max_epochs=EPOCHS, patience=EPOCHS
    )
    with sealed_test():
        splits = data.load("jsb_chorales")
    task = NextFrame()
    training, valid = task.examples(splits, "train"), task.examples(splits, "valid")
    model = build_model(model_options, splits.features, splits.features, seed)
    set_output_bias_(model, task.constant(torch.cat(training.targets), splits.features))
    started = time.process_time()
    try:
        with tempfile.TemporaryDirectory() as folder:
            history = fit(model, training, valid, model_options, options, Path(folder) / "state.safetensors")
        value, best = nll(model, valid), history.best_epoch
    except DivergenceError:
        value, best = math.inf, 0
    return {
        "memory": memory,
        "trial": str(trial),
        "seed": seed,
        "valid NLL": value,
        "best epoch": best,
        "weights": sum(x.numel() for x in model.parameters()),
        "CPU minutes": (time.process_time() - started) / 60,
    }


def best_trial(rows: Sequence[dict[str, object]], memory: str) -> Trial:
    """Return the trial of seed 0 with the lowest NLL on valid."""
    value = {row["trial"]: float(str(row["valid NLL"])) for row in rows if row["memory"] == memory and row["seed"] == 0}
    return min(GRID, key=lambda trial: value[str(trial)])


def summary(rows: Sequence[dict[str, object]], memory: str) -> dict[str, object]:
    """One row per memory: its best options over all seeds that are complete."""
    chosen = [row for row in rows if row["memory"] == memory and row["trial"] == str(best_trial(rows, memory))]
    return {
        "memory": memory,
        "dropouts, rate": chosen[0]["trial"],
        "seeds": len(chosen),
        "valid NLL": spread([float(str(row["valid NLL"])) for row in chosen]),
        "best epochs": ", ".join(str(row["best epoch"]) for row in chosen),
        "weights": chosen[0]["weights"],
    }


def main() -> None:
    """Run the trials that --out lacks, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", nargs="+", choices=list(MEMORIES), default=list(MEMORIES))
    parser.add_argument("--seeds", type=int, default=2, help="seeds of the best options")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/joint-memories.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []

    def complete(memory: str, trial: Trial, seed: int) -> None:
        if not any((row["memory"], row["trial"], row["seed"]) == (memory, str(trial), seed) for row in rows):
            rows.append(run(memory, trial, seed))
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            with arguments.out.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(rows[-1], flush=True)

    if not arguments.table:
        for trial, memory in itertools.product(GRID, arguments.memory):
            complete(memory, trial, 0)
        for seed, memory in itertools.product(range(1, arguments.seeds), arguments.memory):
            complete(memory, best_trial(rows, memory), seed)
    print(tables.markdown(rows, {"valid NLL": 3, "CPU minutes": 1}))
    print(tables.markdown([summary(rows, memory) for memory in arguments.memory]))


if __name__ == "__main__":
    main()
