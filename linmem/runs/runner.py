"""Run: load the data, build the model, pretrain it if asked, train it, measure it, and keep all that in a folder."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from linmem import data
from linmem.data import Splits
from linmem.data.splits import SPLITS
from linmem.nn.baselines import RNNRBM, Persistence, StochasticDetach
from linmem.nn.initialize import answer_constant_
from linmem.nn.registry import build_model
from linmem.nn.sequence_model import SequenceModel, parameter_count
from linmem.reporting import tables
from linmem.runs.directory import (
    HISTORY,
    PRETRAINING,
    SCORES,
    STATE,
    UNFOLDED,
    RunOptions,
    check_going_on,
    claim,
    load_run,
    write_config,
)
from linmem.storage.atomic import write_json, write_lines
from linmem.training import distributed
from linmem.training.checkpoint import epochs_kept
from linmem.training.loop import evaluate, train
from linmem.training.metrics import FrameScores, Scores
from linmem.training.pretraining import pretrain, pretrain_on_inputs
from linmem.training.rbm_task import NextFrameRBM
from linmem.training.tasks import Task, task_of

OUTPUT_BIAS_INITS = ("marginal", "default")
_FILLED_BY = {"unfolded": ("lmn-b",), "inputs": ("lmn-b", "lmn-detach", "rnn")}


@dataclass(frozen=True)
class Summary:
    """What a finished run reports; seconds are of training alone, to be compared within one table of one machine."""

    scores: Scores  # on the validation split
    simplest: Scores  # of the model that every other has to beat, on the same split
    simplest_name: str
    parameters: int
    epochs: int
    best_epoch: int
    seconds_per_epoch: float
    pretraining_seconds: float


def run(
    options: RunOptions,
    folder: Path,
    *,
    resume: bool = False,
    force: bool = False,
    device: str = "cpu",
    progress: bool = False,
) -> Summary:
    """Train what `options` describe and keep it in `folder`; a run that was cut goes on with `resume`.

    Raises
    ------
    FileExistsError
        `folder` holds a run already, and neither `resume` nor `force` was given.
    ValueError
        The options contradict each other, the data, or the run to go on with.
    """
    options = replace(options, data=_place(options.data))
    if resume:
        check_going_on(folder, options)
    splits = data.load(options.data)
    outputs = task_of(splits).output_size(splits)
    _check_pretraining(options)
    model = build_model(options.model, splits.features, outputs, options.training.seed)
    task = task_for(model, splits)
    examples = task.examples(splits, "train")  # complain before anything is written
    if distributed.rank() == 0:
        claim(folder, resume=resume, force=force)
        write_config(folder, options, splits.features, outputs)
    distributed.wait()
    if options.pretraining.output_bias_init == "marginal":
        answer_constant_(model, task.constant(torch.cat(examples.targets), outputs))
    model = model.to(device)
    if options.pretraining.pretrain != "none" and not (folder / STATE).exists():
        _pretrain(model, options, splits, task, folder, progress)
    history = train(
        model,
        splits,
        NextFrameRBM.rough(model) if isinstance(model, RNNRBM) else task,
        options.training,
        checkpoint=folder / STATE,
        after_epoch=lambda state: write_lines(folder / HISTORY, state.history),
        progress=progress,
    )
    if distributed.rank() == 0:
        write_lines(folder / HISTORY, history.epochs)  # a process that died after its last epoch had yet to
    name, simplest = simplest_scores(splits, "valid")
    summary = Summary(
        evaluate(model, splits, task, "valid"),
        simplest,
        name,
        parameter_count(model),
        len(history.epochs),
        history.best_epoch,
        history.seconds / len(history.epochs),
        _pretraining_seconds(folder),
    )
    if distributed.rank() == 0:
        write_json(folder / SCORES, asdict(summary))
    return summary


def task_for(model: nn.Module, splits: Splits) -> Task:
    """Return the task that the data set sets; an RNN-RBM answers it as it alone can."""
    return NextFrameRBM(model) if isinstance(model, RNNRBM) else task_of(splits)


def simplest_scores(splits: Splits, split: str) -> tuple[str, Scores]:
    """Name and metrics of what every model has to beat: the copy of the last frame, the most frequent class, the mean.

    For frames of notes the accuracies are those of the copy itself, whatever the threshold; NLL and expected accuracy
    come from the two rates at which notes stay and start in the training set.
    """
    task = task_of(splits)
    name, model = task.simplest(splits)
    scores = evaluate(model, splits, task, split)
    if isinstance(model, Persistence) and isinstance(scores, FrameScores):
        copy = evaluate(model.certain(), splits, task, split)
        assert isinstance(copy, FrameScores)
        scores = replace(copy, nll=scores.nll, expected_accuracy=scores.expected_accuracy)
    return name, scores


def _place(name: str) -> str:
    """Name a data set as it is known, a folder by its whole path, so that a run can be evaluated from anywhere."""
    return name if name in data.SETS or not Path(name).expanduser().is_dir() else str(Path(name).expanduser().resolve())


def _check_pretraining(options: RunOptions) -> None:
    scheme, start = options.pretraining.pretrain, options.pretraining.output_bias_init
    if start not in OUTPUT_BIAS_INITS:
        raise ValueError(f"output_bias_init is {start!r}: the known ones are {', '.join(OUTPUT_BIAS_INITS)}")
    if scheme != "none" and scheme not in _FILLED_BY:
        raise ValueError(f"pretrain is {scheme!r}: the known ones are none, {', '.join(_FILLED_BY)}")
    if scheme != "none" and options.model.model not in _FILLED_BY[scheme]:
        raise ValueError(f"pretrain={scheme} fills {' or '.join(_FILLED_BY[scheme])}, not {options.model.model}")


def _pretrain(model: nn.Module, options: RunOptions, splits: Splits, task: Task, folder: Path, progress: bool) -> None:
    """Begin as `options.pretraining` says, and note what it took."""
    assert isinstance(model, SequenceModel)
    layer: Any = model.recurrent.lmn if isinstance(model.recurrent, StochasticDetach) else model.recurrent
    before = epochs_kept(folder / UNFOLDED)  # of a pretraining that was cut
    started, worked, epochs = time.perf_counter(), time.process_time(), 0
    training, valid = (task.examples(splits, split) for split in ("train", "valid"))
    if options.pretraining.pretrain == "inputs":
        pretrain_on_inputs(layer, model.readout, *training, task=task, seed=options.training.seed)
    else:
        pretrained = pretrain(
            layer,
            model.readout,
            *training,
            valid=valid,
            lags=options.model.lags,
            nonlinearity=options.pretraining.unfolded_nonlinearity,
            dropout=(options.model.input_dropout, options.model.readout_dropout),
            memory_decay=options.pretraining.memory_decay,
            options=replace(
                options.training,
                max_epochs=options.pretraining.pretrain_epochs,
                learning_rate=options.pretraining.pretrain_learning_rate,
            ),
            task=task,
            checkpoint=folder / UNFOLDED,
            progress=progress,
        )
        epochs = len(pretrained.history.epochs)
    if distributed.rank() == 0:
        seconds = time.perf_counter() - started + sum(row.seconds for row in before)
        cpu_seconds = time.process_time() - worked + sum(row.cpu_seconds or 0.0 for row in before)
        write_json(folder / PRETRAINING, {"seconds": seconds, "cpu_seconds": cpu_seconds, "epochs": epochs})


def _pretraining_seconds(folder: Path) -> float:
    path = folder / PRETRAINING
    return float(json.loads(path.read_text())["seconds"]) if path.exists() else 0.0


def evaluate_run(folder: Path, split: str = "test", best_by: str = "loss", device: str = "cpu") -> dict[str, Scores]:
    """Metrics of a finished run on one split, the simplest model's first; a threshold is the validation split's.

    Raises
    ------
    ValueError
        `split` or `best_by` is unknown.
    FileNotFoundError
        `folder` holds no run.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}: the known ones are {', '.join(SPLITS)}")
    options, model = load_run(folder, best_by)
    splits = data.load(options.data)
    if (wanted := getattr(model, "input_size", splits.features)) != splits.features:
        raise ValueError(f"{options.data} has {splits.features} features now, but {folder} was trained on {wanted}")
    task = task_for(model, splits)
    name = options.model.model + ("" if options.pretraining.pretrain == "none" else f", {options.pretraining.pretrain}")
    simplest, scores = simplest_scores(splits, split)
    return {simplest: scores, name: evaluate(model.to(device), splits, task, split)}


def scores_table(scores: dict[str, Scores]) -> str:
    """Return a Markdown table, a model a row; shares in per cent, NLL in nats an answer (for music, a frame)."""
    return tables.markdown([{"model": name} | score.row() for name, score in scores.items()], {"NLL": 3, "MSE": 5})
