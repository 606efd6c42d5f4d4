"""Joint likelihood on the music sets: solved memories with a NADE of pitch windows and two orders.

    python benchmarks/joint_records.py jsb_chorales --seeds 3            # trains, or continues; prints the valid table
    python benchmarks/joint_records.py jsb_chorales --seeds 3 --test     # reads test, once the seeds are complete

Every seed is a file of weights in --out that is replaced after every epoch; an interrupted run continues. The epoch is
chosen on valid. Training loads the data with the test split sealed; `evaluate_test` is the only function that reads
test, and records date and options in test.jsonl. NLL is in nats per frame over frames 2..T, pooled over the split; the
spread is the standard deviation over seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor, nn

from linmem import data
from linmem.data.sealed import open_test, sealed_test
from linmem.nn.initialize import set_output_bias_
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.solved_memory import SolvedMemoryModel
from linmem.reporting import tables
from linmem.training.joint_task import JointNextFrame
from linmem.training.loop import History, train_on_examples
from linmem.training.metrics import FrameCounts, count_frames
from linmem.training.options import TrainingOptions
from linmem.training.solved import train_solved
from linmem.training.tasks import Examples, NextFrame

NADE = ModelOptions(
    "solved",
    hidden_size=600,
    memory_size=150,
    input_dropout=0.45,
    readout_dropout=0.7,
    readout="nade",
    nade_size=300,
    nade_orders=2,
    nade_kind="windows",
    note_order="ascending",
)
TRAINING = TrainingOptions(
    learning_rate=4e-3, batch_size=8, max_epochs=25, patience=25, ema_decay=0.99, schedule="cosine"
)
SMALL = replace(NADE, hidden_size=300, nade_size=150, input_dropout=0.2, readout_dropout=0.5)
OPTIONS: dict[str, tuple[ModelOptions, TrainingOptions]] = {
    "jsb_chorales": (NADE, TRAINING),
    "nottingham": (
        replace(SMALL, input_dropout=0.1, readout_dropout=0.3),
        replace(TRAINING, batch_size=3, max_epochs=8),
    ),
    "piano_midi": (SMALL, replace(TRAINING, batch_size=1, max_epochs=8)),
    "muse_data": (
        replace(SMALL, input_dropout=0.1, readout_dropout=0.4),  # 0.2, 0.5 and 5 epochs: 5.579 on valid
        replace(TRAINING, batch_size=2, max_epochs=12),
    ),
}
PUBLISHED = {
    "jsb_chorales": "RNN-NADE 5.56 (5.19), RNN-RBM 6.27, DMM 6.29",
    "nottingham": "RNN-NADE 2.31, RNN-RBM 2.39, DMM 2.68",
    "piano_midi": "RNN-NADE 7.05, RNN-RBM 7.09, DMM 7.59",
    "muse_data": "RNN-NADE 5.60, RNN-RBM 6.01, DMM 6.36",
}
AIMS = {"jsb_chorales": 5.1, "nottingham": 2.1, "piano_midi": 6.8, "muse_data": 5.5}
MEMORIES: dict[str, ModelOptions] = {
    "solved": NADE,
    "lstm": replace(NADE, model="lstm", hidden_size=300, lag_decay=(), input_dropout=0.1, readout_dropout=0.5),
    "lmn-b": replace(NADE, model="lmn-b", hidden_size=250, lag_decay=(), input_dropout=0.1, readout_dropout=0.5),
}


class LikelihoodOnly(JointNextFrame):
    """The task without samples: its counts hold the likelihood, and accuracies of a model without notes."""

    @torch.no_grad()
    def count(self, outputs: object, targets: Tensor) -> FrameCounts:  # type: ignore[override]
        """Count the likelihood alone."""
        silent = count_frames(torch.full_like(targets, -20.0), targets)
        return replace(silent, nll=float(outputs.nll(targets).double().sum()))  # type: ignore[attr-defined]


def nll(model: nn.Module, examples: Examples) -> float:
    """Mean NLL per frame of a split, sequence by sequence."""
    model.eval()
    with torch.no_grad():
        losses = [model(x[None])[0].nll(y[None]).double().sum() for x, y in zip(*examples, strict=True)]
    return float(torch.stack(losses).sum()) / sum(map(len, examples.targets))


def train_seed(name: str, memory: str, seed: int, epochs: int | None, out: Path) -> dict[str, object]:
    """Train one seed, or read its row if it is complete; the model is chosen on valid."""
    folder = out / f"{name}-{memory}-seed{seed}"
    finished = folder / "row.json"
    if finished.exists():
        return dict(json.loads(finished.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    model_options, training_options = options_of(name, memory, seed, epochs)
    with sealed_test():
        splits = data.load(name)
    task = NextFrame()
    training, valid = task.examples(splits, "train"), task.examples(splits, "valid")
    model = build_model(model_options, splits.features, splits.features, seed)
    set_output_bias_(model, task.constant(torch.cat(training.targets), splits.features))
    started, cpu = time.perf_counter(), time.process_time()
    history = fit(model, training, valid, model_options, training_options, folder / "state.safetensors")
    row: dict[str, object] = {
        "set": name,
        "memory": memory,
        "seed": seed,
        "valid NLL": nll(model, valid),
        "best epoch": history.best_epoch,
        "epochs": len(history.epochs),
        "minutes": (time.perf_counter() - started) / 60,
        "CPU minutes": (time.process_time() - cpu) / 60,
    }
    torch.save(model.state_dict(), folder / "weights.pt")
    finished.write_text(json.dumps(row))
    return row


def options_of(name: str, memory: str, seed: int, epochs: int | None) -> tuple[ModelOptions, TrainingOptions]:
    """Options of a run; a recurrent memory takes whole sequences in a batch."""
    model, training = OPTIONS[name]
    if memory != "solved":
        model, training = MEMORIES[memory], replace(training, learning_rate=2e-3, clip=1.0)
    return model, replace(training, seed=seed, max_epochs=epochs or training.max_epochs)


def fit(
    model: nn.Module,
    training: Examples,
    valid: Examples,
    model_options: ModelOptions,
    options: TrainingOptions,
    checkpoint: Path,
) -> History:
    """Train; epochs are compared by the exact likelihood."""
    if isinstance(model, SolvedMemoryModel):
        return train_solved(
            model,
            LikelihoodOnly(),
            training,
            valid,
            options,
            lag_decays=model_options.lag_decay,
            readout="nade",
            checkpoint=checkpoint,
            after_epoch=lambda state: print(state.history[-1], flush=True),
        )
    return train_on_examples(
        model,
        LikelihoodOnly(),
        training,
        valid,
        options,
        checkpoint=checkpoint,
        after_epoch=lambda state: print(state.history[-1], flush=True),
    )


def evaluate_test(name: str, memory: str, seeds: Sequence[int], epochs: int | None, out: Path) -> list[float]:
    """NLL on test of finished seeds: the only function that reads test. Every reading is recorded in test.jsonl."""
    folders = [out / f"{name}-{memory}-seed{seed}" for seed in seeds]
    if missing := [folder.name for folder in folders if not (folder / "row.json").exists()]:
        raise SystemExit(f"seeds must be complete before test is read, got none for {', '.join(missing)}. Train them.")
    with open_test():
        splits = data.load(name)
    test = NextFrame().examples(splits, "test")
    found = []
    for seed, folder in zip(seeds, folders, strict=True):
        model_options, training_options = options_of(name, memory, seed, epochs)
        model = build_model(model_options, splits.features, splits.features, seed)
        model.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
        found.append(nll(model, test))
        with (out / "test.jsonl").open("a") as file:
            entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "run": folder.name, "test NLL": found[-1]}
            file.write(
                json.dumps(entry | {"model": asdict(model_options), "training": asdict(training_options)}) + "\n"
            )
    return found


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation over seeds."""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=list(OPTIONS))
    parser.add_argument("--memory", default="solved", choices=list(MEMORIES))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--max_epochs", type=int, default=None)
    parser.add_argument("--test", action="store_true", help="read test, once every seed is complete")
    parser.add_argument("--out", type=Path, default=Path("runs/joint-records"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(arguments.seeds)
    common = arguments.data, arguments.memory
    if arguments.test:
        test = spread(evaluate_test(*common, seeds, arguments.max_epochs, arguments.out))
    rows = [train_seed(*common, seed, arguments.max_epochs, arguments.out) for seed in seeds]
    row: dict[str, object] = {
        "set": arguments.data,
        "memory": arguments.memory,
        "seeds": len(rows),
        "valid NLL": spread([float(str(row["valid NLL"])) for row in rows]),
        "minutes per seed": statistics.mean(float(str(row["minutes"])) for row in rows),
        "CPU minutes per seed": statistics.mean(float(str(row["CPU minutes"])) for row in rows),
    }
    if arguments.test:
        row |= {"test NLL": test, "aim": AIMS[arguments.data], "published": PUBLISHED[arguments.data]}
    print(tables.markdown([row]))


if __name__ == "__main__":
    main()
