"""The demo: is a solved memory worth it? An LSTM, an LMN-B and a pretrained LMN-B learn Bach's chorales.

Equal effort: the same data, batches, patience, number of epochs and running average of the weights for all three; what
differs stands in MODELS, and was chosen for each by a search over the same number of trials, on the validation split
(`benchmarks/demo_search.py`). The validation split alone chooses the epoch and the threshold; the test split is read
once, for the table.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from linmem import data
from linmem.analysis import memory_curve
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.music import continuation
from linmem.nn.registry import ModelOptions
from linmem.reporting import figures, tables
from linmem.reporting.output import figure, output_paths
from linmem.runs import runner
from linmem.runs.directory import (
    HISTORY,
    PretrainingOptions,
    RunOptions,
)
from linmem.storage.atomic import read_lines, write_json, write_text
from linmem.training.loop import TrainingOptions
from linmem.training.metrics import FrameScores

DATA = "chorales"
EFFORT = TrainingOptions(learning_rate=3e-3, batch_size=16, max_epochs=150, patience=20, ema_decay=0.98)
LSTM = ModelOptions("lstm", hidden_size=250, input_dropout=0.1, readout_dropout=0.3)
LMN = ModelOptions(
    "lmn-b",
    hidden_size=250,
    memory_size=200,
    nonlinearity="relu",
    lags=4,
    input_dropout=0.2,
    readout_dropout=0.5,
)
SOLVED = PretrainingOptions(
    "unfolded", pretrain_epochs=25, unfolded_nonlinearity="relu", memory_decay=0.3, output_bias_init="default"
)
MODELS = {  # each readout starts where the validation split prefers it
    "LSTM": RunOptions(DATA, LSTM, EFFORT, PretrainingOptions(output_bias_init="default")),
    "LMN-B": RunOptions(DATA, LMN, EFFORT, PretrainingOptions(output_bias_init="marginal")),
    "pretrained LMN-B": RunOptions(DATA, LMN, EFFORT, SOLVED),
}
FILES = (
    "table.md",
    "table.json",
    "learning_curves.png",
    "memory_curve.json",
    "memory_curve.png",
    "reconstruction.png",
    "continuation.mid",
    "continuation.png",
)
SIZES = (10, 25, 50, 100, 200)  # memory units of the error curve
SHOWN = 100  # memory units of the reconstructed chorale


def run(folder: Path, *, seed: int = 0, quick: bool = False, force: bool = False) -> str:
    """Run the demo in `folder` and return its table; what was trained before is kept, what was cut goes on.

    Parameters
    ----------
    folder : Path
        Gets `table.md`, `table.json`, four pictures, `continuation.mid`, and a folder a model in `runs/`.
    seed : int
        Of weights, batches and music.
    quick : bool
        Two epochs a model and small memories, to see that everything works.
    force : bool
        Train again what was trained before.

    Raises
    ------
    FileExistsError
        `folder` holds files of these names that no demo wrote, and `force` was not given.
    """
    started = any(_run_folder(folder, name, quick).exists() for name in MODELS)
    output_paths(folder, FILES, force=force or started)
    summaries: dict[str, runner.Summary] = {}
    scores: dict[str, FrameScores] = {}
    for name, options in MODELS.items():
        _announce(f"training {name}")
        where = _run_folder(folder, name, quick)
        summaries[name] = runner.run(
            _adapted(options, seed, quick), where, resume=not force, force=force, progress=True
        )
        for row, score in zip(("persistence", name), runner.evaluate_run(where, "test").values(), strict=True):
            assert isinstance(score, FrameScores)
            scores[row] = score
    text = table(scores, summaries)
    write_text(folder / "table.md", text + "\n")
    write_json(folder / "table.json", _rows(scores, summaries))
    _draw_learning(folder, quick)
    _announce("solving the autoencoder")
    _draw_memory(folder, quick)
    continuation.generate(_run_folder(folder, "pretrained LMN-B", quick), folder, voices=4, seed=seed, force=True)
    return text


def _run_folder(folder: Path, name: str, quick: bool) -> Path:
    return folder / ("quick-runs" if quick else "runs") / name.lower().replace(" ", "-")


def _announce(what: str) -> None:
    """Say on a terminal what goes on; stay quiet in a pipe."""
    if sys.stderr.isatty():
        print(what, file=sys.stderr)


def table(scores: dict[str, FrameScores], summaries: dict[str, runner.Summary]) -> str:
    """Return the demo's table as Markdown: the test split, persistence first."""
    return tables.markdown(_rows(scores, summaries), {"NLL": 3})


def _rows(scores: dict[str, FrameScores], summaries: dict[str, runner.Summary]) -> list[dict[str, Any]]:
    rows = []
    for name, score in scores.items():
        summary = summaries.get(name)
        rows.append(
            {
                "test split": name,
                "accuracy %": 100 * score.accuracy,
                "at threshold": score.threshold if summary else None,
                "accuracy % at 0.5": 100 * score.accuracy_at_half,
                "NLL": score.nll,
                "parameters": summary.parameters if summary else 2,
                "s/epoch": summary.seconds_per_epoch if summary else None,
                "best epoch": summary.best_epoch if summary else None,
                "pretraining s": summary.pretraining_seconds if summary else None,
            }
        )
    return rows


def _adapted(options: RunOptions, seed: int, quick: bool) -> RunOptions:
    training = replace(options.training, seed=seed, max_epochs=2 if quick else options.training.max_epochs)
    pretraining = replace(options.pretraining, pretrain_epochs=2 if quick else options.pretraining.pretrain_epochs)
    return replace(options, training=training, pretraining=pretraining)


def _draw_learning(folder: Path, quick: bool) -> None:
    curves = {
        name: [row["valid_loss"] for row in read_lines(_run_folder(folder, name, quick) / HISTORY)] for name in MODELS
    }
    with figure(folder / "learning_curves.png", 1) as axes:
        figures.learning_curves(axes[0], curves)


def _draw_memory(folder: Path, quick: bool) -> None:
    """Error against memory units with the bound, and one chorale as it is remembered after its last step."""
    splits = data.load(DATA)
    sizes = SIZES[:2] if quick else SIZES
    points = memory_curve.curve(splits.train, splits.valid, sizes, LinearAutoencoder(), progress=True)
    write_json(folder / "memory_curve.json", [point._asdict() for point in points])
    with figure(folder / "memory_curve.png", 1) as axes:
        memory_curve.draw(axes[0], points)
    chorale = splits.test[0]
    autoencoder = LinearAutoencoder(10 if quick else SHOWN).fit(splits.train)
    remembered, errors = memory_curve.per_step(autoencoder, chorale)
    with figure(folder / "reconstruction.png", 3) as axes:
        figures.piano_roll(axes[0], chorale)
        axes[0].set_title(splits.titles["test"][0])
        figures.piano_roll(axes[1], remembered, notes=figures.pitch_range(chorale))
        axes[1].set_title(f"decoded from the last state, {autoencoder.memory_size_} units")
        figures.error_per_step(axes[2], errors)
