"""Transposition and skip connection on Piano-midi.de: validation NLL and frame accuracy of an LMN-B and persistence.

LMN-B, ReLU, Adam 3e-3, clipped at 0.25, averaged weights, 200 steps of truncated backpropagation; `transpose` moves
every training piece by a random shift of up to 5 semitones anew in every epoch; `skip` adds a linear map from the input
to the output, zero at the start, or at the log-odds of a note given the same note one step before (`persistence`). The
epoch is chosen by validation NLL, the threshold of the accuracy on the same split. The test split is read with `--test`
only, for the rows and sizes chosen before; every reading is added to test.jsonl in the folder of the runs.

    python benchmarks/transposition_and_skip.py                   # an interrupted run continues
    python benchmarks/transposition_and_skip.py --sizes 250 300 --dropout 0.2 --rows "both"
    python benchmarks/transposition_and_skip.py --sizes 250 300 --dropout 0.2 --rows "both" --test
"""

from __future__ import annotations

import argparse
import json
import statistics
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from linmem import data
from linmem.nn.baselines import Persistence
from linmem.nn.initialize import set_output_bias_, set_persistence_
from linmem.nn.registry import ModelOptions, build_model
from linmem.reporting import tables
from linmem.runs.queue import run_jobs
from linmem.training.loop import count, train_on_examples
from linmem.training.options import TrainingOptions
from linmem.training.tasks import NextFrame

ROWS = {  # semitones of transposition, skip connection
    "plain": (0, None),
    "both": (5, "zero"),
    "both, persistence": (5, "persistence"),
    "skip": (0, "zero"),
    "transpose": (5, None),
}


class Prepared(NamedTuple):
    """An untrained model, its examples, and the options of its training."""

    model: Any
    training: Any
    valid: Any
    test: Any
    options: TrainingOptions


def prepare(row: str, seed: int, options: argparse.Namespace) -> Prepared:
    """The model of a row."""
    (semitones, skip), (f, p) = ROWS[row], options.sizes
    splits, task = data.load(options.set), NextFrame()
    training, valid, test = (task.examples(splits, split) for split in ("train", "valid", "test"))
    dropout = options.dropout
    model_options = ModelOptions(
        *("lmn-b", f, p),
        nonlinearity="relu",
        skip_connection=skip is not None,
        input_dropout=dropout,
        readout_dropout=dropout,
    )
    model: Any = build_model(model_options, 88, 88, seed)
    set_output_bias_(model, task.constant(torch.cat(training.targets), 88))
    if skip == "persistence":
        set_persistence_(model, training.inputs, training.targets)
    training_options = TrainingOptions(
        learning_rate=3e-3,
        batch_size=8,
        clip=0.25,
        ema_decay=0.98,
        truncate=200,
        patience=8,
        max_epochs=options.max_epochs,
        transpose=semitones,
        seed=seed,
    )
    return Prepared(model, training, valid, test, training_options)


def trained(row: str, seed: int, options: argparse.Namespace, checkpoint: Path) -> dict[str, Any]:
    """Scores on the validation split in the epoch with the lowest NLL."""
    model, training, valid, _, training_options = prepare(row, seed, options)
    history = train_on_examples(model, NextFrame(), training, valid, training_options, checkpoint=checkpoint)
    best = history.best
    return {
        "nll": best.valid_loss,
        "accuracy": 100 * best.valid["accuracy"],
        "best_epoch": history.best_epoch,
        "cpu_seconds": sum(epoch.cpu_seconds or 0.0 for epoch in history.epochs),
    }


def tested(row: str, seed: int, options: argparse.Namespace, checkpoint: Path) -> dict[str, float]:
    """Scores on the test split of the finished run in a checkpoint, at the threshold chosen on the validation split."""
    if not checkpoint.exists():
        raise SystemExit(f"{checkpoint} must exist for --test, got no file. Run without --test first.")
    model, training, valid, test, training_options = prepare(row, seed, options)
    train_on_examples(model, NextFrame(), training, valid, training_options, checkpoint=checkpoint)  # its best weights
    return scores_on_test(model, valid, test)


def scores_on_test(model: Any, valid: Any, test: Any) -> dict[str, float]:
    """NLL and accuracy on the test split at the threshold chosen on the validation split."""
    task = NextFrame()
    choice = count(model, valid, task).choice()
    scores: Any = count(model, test, task).scores(choice)
    return {"nll": scores.loss, "accuracy": 100 * scores.accuracy}


def print_test(options: argparse.Namespace, checkpoints: dict[tuple[str, int], Path]) -> None:
    """Read the test split, print the scores and append them to test.jsonl."""
    task, splits = NextFrame(), data.load(options.set)
    training, valid, test = (task.examples(splits, split) for split in ("train", "valid", "test"))
    rows = [{"model": "persistence", "seed": "–"} | scores_on_test(Persistence(*training), valid, test)]
    for (row, seed), path in checkpoints.items():
        rows.append({"model": row, "seed": str(seed)} | tested(row, seed, options, path))
    with (options.out / "test.jsonl").open("a") as file:
        for one in rows:
            print(json.dumps({"set": options.set, "sizes": options.sizes, "dropout": options.dropout} | one), file=file)
    print(tables.markdown(rows, {"nll": 3, "accuracy": 2}))


def persistence(name: str) -> dict[str, float]:
    """NLL at the rates of the training set, and accuracy, on the validation split."""
    splits, task = data.load(name), NextFrame()
    counts = count(Persistence(*task.examples(splits, "train")), task.examples(splits, "valid"), task)
    scores: Any = counts.scores(counts.choice())
    return {"nll": scores.loss, "accuracy": 100 * scores.accuracy}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--set", choices=("piano_midi", "muse_data", "nottingham", "jsb_chorales"), default="piano_midi"
    )
    parser.add_argument("--sizes", nargs=2, type=int, default=(100, 100), metavar=("F", "P"))
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--max_epochs", type=int, default=30)
    parser.add_argument("--test", action="store_true", help="evaluate the finished runs of these options on test")
    parser.add_argument("--out", type=Path, default=Path("runs/transposition"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    f, p = options.sizes
    jobs: dict[str, Any] = {}
    checkpoints: dict[tuple[str, int], Path] = {}
    for seed in range(options.seeds):
        for row in options.rows:
            name = f"{options.set}_{row}_{f}_{p}_{options.dropout:g}_{options.max_epochs}_{seed}".replace(" ", "_")
            jobs[name] = partial(trained, row, seed, options, options.out / f"{name}.safetensors")
            checkpoints[row, seed] = options.out / f"{name}.safetensors"
    if options.test:
        return print_test(options, checkpoints)
    found = list(run_jobs(options.out, jobs, progress=True).values())
    base = persistence(options.set)
    rows: list[dict[str, Any]] = [
        {"model": "persistence", "NLL": f"{base['nll']:.3f}", "accuracy %": f"{base['accuracy']:.2f}"}
    ]
    for index, row in enumerate(options.rows):
        runs = found[index :: len(options.rows)]
        rows.append(
            {
                "model": row,
                "NLL": ", ".join(f"{run['nll']:.3f}" for run in runs),
                "accuracy %": ", ".join(f"{run['accuracy']:.2f}" for run in runs),
                "best epoch": ", ".join(str(run["best_epoch"]) for run in runs),
                "CPU s": f"{statistics.mean(run['cpu_seconds'] for run in runs):.0f}",
            }
        )
    print(
        f"\n{options.set}, validation, LMN-B ({f}, {p}), dropout {options.dropout:g}, seeds 0 to {options.seeds - 1}, "
        f"at most {options.max_epochs} epochs, torch {torch.__version__}\n"
    )
    print(tables.markdown(rows, {}))


if __name__ == "__main__":
    main()
