"""The demo: an LSTM, LMN-Bs and a solved memory with a NADE learn to predict the next frame of Bach's chorales.

The data, batch size, patience, limit of epochs and running average of the weights are the same for the three trained
networks. Units of the LSTM, nonlinearity of the LMN-B, memory decay of the pretrained LMN-B, and dropout were chosen by
twelve trials per model on the validation split, and learning rates by three more (`benchmarks/demo_search.py`). The
validation split chooses the epoch and the threshold; one run of the demo evaluates each model on test once, for the
table, and draws and continues one piece of it: all readings are recorded in `test_reads.jsonl`. The solved memory with
a NADE predicts the notes of a frame jointly; its options were not searched. The continuation is sampled from it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linmem import data
from linmem.analysis import memory_curve
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.data.midi_file import require_mido
from linmem.experiments.harness.fingerprint import code_fingerprint
from linmem.experiments.harness.reads_of_test import Run, read_test, sealed_run
from linmem.music.generate import generate
from linmem.music.sampling import SamplingOptions
from linmem.nn.registry import ModelOptions
from linmem.reporting import figures, tables
from linmem.reporting.output import figure, output_paths, require_matplotlib
from linmem.runs import runner
from linmem.runs.directory import HISTORY
from linmem.runs.options import PretrainingOptions, RunOptions
from linmem.runs.runner import Summary
from linmem.storage.atomic import read_lines, write_json, write_text
from linmem.training.joint_metrics import JointFrameScores
from linmem.training.metrics import FrameScores
from linmem.training.options import TrainingOptions

DATA = "chorales"
EFFORT = TrainingOptions(learning_rate=3e-3, batch_size=16, max_epochs=150, patience=10, ema_decay=0.98)
LSTM = ModelOptions("lstm", hidden_size=250, input_dropout=0.1, readout_dropout=0.3)
LMN = ModelOptions(
    "lmn-b", 250, 200, nonlinearity="relu", lags=4, input_dropout=0.2, readout_dropout=0.5
)  # hidden_size, memory_size
PRETRAINING = PretrainingOptions(
    "unfolded", pretrain_epochs=25, unfolded_nonlinearity="relu", memory_decay=0.3, output_bias_init="default"
)
JOINT = ModelOptions(
    "solved",
    hidden_size=300,
    memory_size=100,
    input_dropout=0.3,
    readout_dropout=0.5,
    readout="nade",
    nade_size=100,
    note_order="descending",
)
JOINT_EFFORT = TrainingOptions(learning_rate=4e-3, batch_size=8, max_epochs=12, ema_decay=0.98, schedule="cosine")
MODELS = {
    "LSTM": RunOptions(DATA, LSTM, replace(EFFORT, learning_rate=1e-2), PretrainingOptions(output_bias_init="default")),
    "LMN-B": RunOptions(DATA, LMN, EFFORT, PretrainingOptions(output_bias_init="marginal")),
    "pretrained LMN-B": RunOptions(DATA, LMN, EFFORT, PRETRAINING),
    "solved NADE": RunOptions(DATA, JOINT, JOINT_EFFORT),
}
LONGEST_FIRST = ("LSTM", "pretrained LMN-B", "LMN-B", "solved NADE")  # two processes then finish at about the same time
FILES = (
    "table.md",
    "table.json",
    "learning_curves.png",
    "memory_curve.json",
    "memory_curve.png",
    "reconstruction.png",
    "continuation.mid",
    "continuation.wav",
    "continuation.png",
)
SIZES = (10, 25, 50, 100, 200)  # memory units of the error curve
RECONSTRUCTION_SIZE = 100  # memory units of the reconstructed chorale


def run(folder: Path, *, seed: int = 0, quick: bool = False, force: bool = False) -> str:
    """Run the demo in `folder` and return its table; finished models are kept, an interrupted run continues.

    Parameters
    ----------
    folder : Path
        Gets `table.md`, `table.json`, four figures, a continuation (MIDI, WAV, picture), and one folder per model in
        `runs/`.
    seed : int
        Seed of weights, batches and music.
    quick : bool
        Whether to train only two epochs per model and use small memories, as a check.
    force : bool
        Whether to train finished models again.

    Raises
    ------
    FileExistsError
        `folder` holds other files of these names, and `force` is false.
    ImportError
        mido or matplotlib is not installed.
    """
    require_mido()
    require_matplotlib()
    started = any(_run_folder(folder, name, quick).exists() for name in MODELS)
    output_paths(folder, FILES, force=force or started)
    summaries = dict(_train_all(folder, seed, quick, force))
    with sealed_run(Run("demo", folder, code_fingerprint("linmem.experiments.demo"))):
        return _show(folder, summaries, seed, quick)


def _show(folder: Path, summaries: Mapping[str, Summary], seed: int, quick: bool) -> str:
    scores: dict[str, FrameScores] = {}
    for name in MODELS:
        read = partial(runner.evaluate_run, _run_folder(folder, name, quick), "test")
        for row, score in zip(("persistence", name), read_test(read, model=name, data=DATA).values(), strict=True):
            assert isinstance(score, FrameScores)
            scores[row] = score
    rows = table_rows(scores, summaries)
    text = tables.markdown(rows, {"NLL": 3, "joint NLL": 3})
    write_text(folder / "table.md", text + "\n")
    write_json(folder / "table.json", rows)
    _draw_learning(folder, quick)
    _announce("solving the autoencoder")
    _draw_memory(folder, quick)
    sampling = SamplingOptions(temperature=0.9, top_p=0.95, voices=4, seed=seed)
    prompt = partial(generate, _run_folder(folder, "solved NADE", quick), folder, sampling=sampling, force=True)
    read_test(prompt, model="continuation", data=DATA)
    return text


def _train_all(folder: Path, seed: int, quick: bool, force: bool) -> Iterator[tuple[str, Summary]]:
    """Train the models in one process per core, each with one thread."""
    jobs = {
        name: (_adapt(MODELS[name], seed, quick), _run_folder(folder, name, quick), force) for name in LONGEST_FIRST
    }
    workers = min(len(jobs), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if workers == 1:
        for name, job in jobs.items():
            _announce(f"training {name}")
            yield name, _train(*job, progress=True)
        return
    _announce(f"training {', '.join(MODELS)} in {workers} processes")
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(_train, *job): name for name, job in jobs.items()}
        for future in as_completed(futures):
            name, summary = futures[future], future.result()
            _announce(f"{name}: valid NLL {summary.scores.loss:.3f} after epoch {summary.best_epoch}")
            yield name, summary


def _train(options: RunOptions, folder: Path, force: bool, progress: bool = False) -> Summary:
    return runner.run(options, folder, resume=not force, force=force, progress=progress)


def _run_folder(folder: Path, name: str, quick: bool) -> Path:
    return folder / ("quick-runs" if quick else "runs") / name.lower().replace(" ", "-")


def _announce(text: str) -> None:
    """Print progress on a terminal; print nothing into a pipe."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def table_rows(scores: Mapping[str, FrameScores], summaries: Mapping[str, Summary]) -> list[dict[str, Any]]:
    """Return the rows of the demo's table: scores on test, persistence first."""
    rows = []
    for name, score in scores.items():
        summary = summaries.get(name)
        rows.append(
            {
                "test split": name,
                "accuracy %": 100 * score.accuracy,
                "at threshold": score.threshold if summary else None,
                "accuracy % at 0.5": 100 * score.accuracy_at_half,
                "NLL": score.factorised_nll if isinstance(score, JointFrameScores) else score.nll,
                "joint NLL": score.nll if isinstance(score, JointFrameScores) else None,
                "parameters": summary.parameters if summary else 2,
                "s/epoch": summary.seconds_per_epoch if summary else None,
                "best epoch": summary.best_epoch if summary else None,
                "pretraining s": summary.pretraining_seconds if summary else None,
            }
        )
    return rows


def _adapt(options: RunOptions, seed: int, quick: bool) -> RunOptions:
    training = replace(options.training, seed=seed, max_epochs=2 if quick else options.training.max_epochs)
    pretraining = replace(options.pretraining, pretrain_epochs=2 if quick else options.pretraining.pretrain_epochs)
    return replace(options, training=training, pretraining=pretraining)


def _draw_learning(folder: Path, quick: bool) -> None:
    independent = [name for name, options in MODELS.items() if options.model.readout != "nade"]  # losses that compare
    curves = {
        name: [row["valid_loss"] for row in read_lines(_run_folder(folder, name, quick) / HISTORY)]
        for name in independent
    }
    with figure(folder / "learning_curves.png", 1) as axes:
        figures.learning_curves(axes[0], curves)


def _draw_memory(folder: Path, quick: bool) -> None:
    """Draw the error against memory units with the bound, and one chorale decoded from its last state."""
    splits = data.load(DATA)
    sizes = SIZES[:2] if quick else SIZES
    points = memory_curve.curve(splits.train, splits.valid, sizes, LinearAutoencoder(), progress=True)
    write_json(folder / "memory_curve.json", [point._asdict() for point in points])
    with figure(folder / "memory_curve.png", 1) as axes:
        memory_curve.draw(axes[0], points)
    whole = read_test(partial(data.load, DATA), model="reconstruction", data=DATA)
    chorale = whole.test[0]
    autoencoder = LinearAutoencoder(10 if quick else RECONSTRUCTION_SIZE).fit(splits.train)
    decoded, errors = memory_curve.per_step(autoencoder, chorale)
    with figure(folder / "reconstruction.png", 3) as axes:
        figures.piano_roll(axes[0], chorale)
        axes[0].set_title(whole.titles["test"][0])
        figures.piano_roll(axes[1], decoded, notes=figures.pitch_range(chorale))
        axes[1].set_title(f"decoded from the last state, {autoencoder.memory_size_} units")
        figures.error_per_step(axes[2], errors)
        axes[2].set_title(error_caption(chorale, errors), fontsize="medium")


def error_caption(roll: Tensor, errors: Tensor) -> str:
    """Return the relative error of the last steps and of all earlier ones: (T, 88) notes, (T,) squared errors."""
    energy, last = roll.square().sum(1), min(16, len(roll) // 2)
    recent, earlier = (
        float(errors[part].sum() / energy[part].sum()) for part in (slice(-last, None), slice(None, -last))
    )
    return f"relative error: last {last} steps {recent:.2f}, earlier ones {earlier:.2f}"
