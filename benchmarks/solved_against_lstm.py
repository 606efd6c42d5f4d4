"""Solved memories with a feed-forward readout against an LSTM: validation NLL, and time to the LSTM's best one.

The LSTM has the settings that the retired protocol "regularized" of table 2 chose for each set (commit 95d6377); the
solved model has the setting with the lowest validation NLL of seed 0 among `SETTINGS` (`--search`). The time of the
solved model includes solving the memories and encoding both splits. Times are CPU seconds of one thread, so that other
load on the machine affects them less; validation after each epoch is not counted for either. The test split is not
read.

    python benchmarks/solved_against_lstm.py --set jsb_chorales --search
    python benchmarks/solved_against_lstm.py --set jsb_chorales    # an interrupted run continues
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from linmem import data
from linmem.nn.initialize import set_output_bias_
from linmem.nn.registry import ModelOptions, build_model
from linmem.reporting import tables
from linmem.runs.queue import run_jobs
from linmem.training.checkpoint import Epoch
from linmem.training.loop import train_on_examples
from linmem.training.options import TrainingOptions
from linmem.training.solved import train_solved
from linmem.training.tasks import NextFrame

SETS = {"jsb_chorales": 120, "nottingham": 30, "piano_midi": 30, "muse_data": 20}  # epochs of the LSTM
TRAINING = TrainingOptions(learning_rate=3e-3, batch_size=16, patience=10, clip=0.25, ema_decay=0.98, truncate=100)
LSTMS = {
    name: (
        ModelOptions("lstm", 250, input_dropout=0.1, readout_dropout=0.3 if name == "jsb_chorales" else 0.2),
        replace(TRAINING, clip=5.0, truncate=0) if name == "jsb_chorales" else TRAINING,
        "default" if name == "jsb_chorales" else "marginal",
    )
    for name in SETS
}


class Setting(NamedTuple):
    """A solved model."""

    memory_size: int
    lag_decay: tuple[float, ...]
    hidden_size: int
    dropout: tuple[float, float]  # of features, and of hidden units
    learning_rate: float = 1e-3
    batch_size: int = 4  # sequences; a batch has as many steps as these have on average
    cosine: int = 0  # epochs of a cosine schedule; 0 for a constant learning rate
    weight_decay: float = 0.0


SETTINGS = {
    "1 memory, 150 units": Setting(150, (0.5,), 400, (0.1, 0.5), 2e-3),
    "1 memory, 250 units": Setting(250, (0.6,), 600, (0.2, 0.6)),
    "2 memories, 150 units": Setting(150, (0.5, 0.9), 400, (0.2, 0.6)),
    "2 memories, 150 units, nearer": Setting(150, (0.4, 0.7), 600, (0.2, 0.6)),
    "3 memories, 100 units": Setting(100, (0.4, 0.7, 0.9), 600, (0.2, 0.6)),
    "2 memories, 150 units, less dropout": Setting(150, (0.5, 0.9), 400, (0.05, 0.2)),
    "1 memory, 150 units, cosine": Setting(150, (0.5,), 400, (0.1, 0.5), 3e-3, cosine=20),
    "2 memories, 150 units, cosine": Setting(150, (0.5, 0.9), 400, (0.2, 0.6), 3e-3, cosine=30),
    "2 memories, 150 units, less dropout, cosine": Setting(150, (0.5, 0.9), 400, (0.05, 0.2), 3e-3, cosine=20),
    "2 memories, 150 units, small batches, cosine": Setting(150, (0.5, 0.9), 400, (0.2, 0.6), 2e-3, 1, cosine=16),
    "2 longer memories, 150 units, cosine": Setting(150, (0.7, 0.97), 400, (0.2, 0.6), 2e-3, 1, cosine=16),
    "3 memories, 100 units, cosine": Setting(100, (0.5, 0.8, 0.95), 400, (0.3, 0.6), 2e-3, 1, cosine=16),
    "2 memories, 150 units, weight decay, cosine": Setting(
        150, (0.5, 0.9), 400, (0.2, 0.6), 2e-3, 1, cosine=16, weight_decay=1e-4
    ),
}


def curve(epochs: list[Epoch], before: float = 0.0) -> dict[str, list[float]]:
    """Validation NLL after each epoch and the CPU seconds until then."""
    seconds, total = [], before
    for epoch in epochs:
        total += epoch.cpu_seconds or 0.0
        seconds.append(total)
    return {"nll": [epoch.valid_loss for epoch in epochs], "seconds": seconds}


def lstm(name: str, max_epochs: int, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Train the LSTM, from the checkpoint if it exists."""
    splits, task = data.load(name), NextFrame()
    training, valid = task.examples(splits, "train"), task.examples(splits, "valid")
    model_options, options, bias = LSTMS[name]
    model = build_model(model_options, 88, 88, seed)
    if bias == "marginal":
        set_output_bias_(model, task.constant(torch.cat(training.targets), 88))
    options = replace(options, max_epochs=max_epochs, seed=seed)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    return curve(train_on_examples(model, task, training, valid, options, checkpoint=checkpoint).epochs)


def solved(name: str, setting: Setting, max_epochs: int, seed: int) -> dict[str, Any]:
    """Solve the memories, encode both splits, train the readout."""
    splits, task = data.load(name), NextFrame()
    training, valid = task.examples(splits, "train"), task.examples(splits, "valid")
    model_options = ModelOptions(
        "solved",
        setting.hidden_size,
        setting.memory_size,
        lag_decay=setting.lag_decay,
        readout="mlp",
        input_dropout=setting.dropout[0],
        readout_dropout=setting.dropout[1],
    )
    model: Any = build_model(model_options, 88, 88, seed)
    set_output_bias_(model, task.constant(torch.cat(training.targets), 88))
    options = replace(
        TRAINING,
        learning_rate=setting.learning_rate,
        batch_size=setting.batch_size,
        weight_decay=setting.weight_decay,
        clip=5.0,
        truncate=0,
        max_epochs=setting.cosine or max_epochs,
        schedule="cosine" if setting.cosine else "constant",
        seed=seed,
    )
    first: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        history = train_solved(
            model,
            task,
            training,
            valid,
            options,
            lag_decays=setting.lag_decay,
            readout="mlp",
            checkpoint=Path(folder) / "state.safetensors",
            after_epoch=lambda state: first.append(time.process_time()) if not first else None,
        )
    # all before the first epoch; its validation, not counted for the LSTM, is counted here
    before = first[0] - start - (history.epochs[0].cpu_seconds or 0.0)
    return curve(history.epochs, before) | {"before": before}


def job_name(options: argparse.Namespace, setting: str, seed: int) -> str:
    """Name of a solved model's job."""
    return f"{options.set}_solved_{setting}_{seed}_{options.max_epochs}".replace(" ", "_").replace(",", "")


def search(options: argparse.Namespace) -> None:
    """Validation NLL of all settings at seed 0."""
    jobs = {
        job_name(options, name, 0): partial(solved, options.set, SETTINGS[name], options.max_epochs, 0)
        for name in options.settings
    }
    found = run_jobs(options.out, jobs, progress=True).values()
    rows = [
        {"setting": name, "valid NLL": min(run["nll"]), "epoch": run["nll"].index(min(run["nll"])) + 1,
         "CPU s": run["seconds"][-1]}
        for name, run in zip(options.settings, found, strict=True)
    ]  # fmt: skip
    print(tables.markdown(sorted(rows, key=lambda row: row["valid NLL"]), {"valid NLL": 3, "epoch": 0, "CPU s": 0}))


def best_setting(options: argparse.Namespace) -> str:
    """The setting with the lowest validation NLL at seed 0 among those that have been run."""
    paths = {name: options.out / f"{job_name(options, name, 0)}.json" for name in options.settings}
    losses = {name: min(json.loads(path.read_text())["nll"]) for name, path in paths.items() if path.exists()}
    if not losses:
        raise SystemExit(f"{options.out} must hold results of --search for {options.set}, got none. Run --search.")
    return min(losses, key=lambda name: losses[name])


def compare(options: argparse.Namespace) -> None:
    """One row per seed, and their means."""
    chosen = options.setting or best_setting(options)
    setting, epochs = SETTINGS[chosen], options.lstm_epochs or SETS[options.set]
    jobs: dict[str, Any] = {}
    for seed in range(options.seeds):
        name = f"{options.set}_lstm_{seed}_{epochs}"
        jobs[name] = partial(lstm, options.set, epochs, seed, options.out / f"{name}.safetensors")
        jobs[job_name(options, chosen, seed)] = partial(solved, options.set, setting, options.max_epochs, seed)
    found = run_jobs(options.out, jobs, progress=True)
    rows = []
    for seed in range(options.seeds):
        theirs, ours = found[f"{options.set}_lstm_{seed}_{epochs}"], found[job_name(options, chosen, seed)]
        target = min(theirs["nll"])
        needed = theirs["seconds"][theirs["nll"].index(target)]
        reached = next((s for s, nll in zip(ours["seconds"], ours["nll"], strict=True) if nll <= target), None)
        rows.append(
            {
                "set": options.set,
                "seed": seed,
                "LSTM(250)": target,
                "its best epoch": theirs["nll"].index(target) + 1,
                "solved": min(ours["nll"]),
                "CPU s of the LSTM": needed,
                "CPU s to its NLL": reached,
                "ratio": None if reached is None else reached / needed,
                "of which solving and encoding": ours["before"],
            }
        )
    means = {what: statistics.mean(row[what] for row in rows) for what in ("LSTM(250)", "solved")}
    print(f"\n{chosen}, at most {options.max_epochs} epochs (LSTM {epochs}), torch {torch.__version__}\n")
    print(tables.markdown(rows, {"seed": 0, "its best epoch": 0, "LSTM(250)": 3, "solved": 3, "ratio": 2}))
    print(f"\nmean valid NLL: LSTM {means['LSTM(250)']:.3f}, solved {means['solved']:.3f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=list(SETS), default="jsb_chorales")
    parser.add_argument("--setting", choices=list(SETTINGS), help="default: the best of --search")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS), help="of --search")
    parser.add_argument("--lstm_epochs", type=int, help=f"default: {SETS}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max_epochs", type=int, default=100, help="of the solved model")
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/solved-against-lstm"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    (search if options.search else compare)(options)


if __name__ == "__main__":
    main()
