"""Run: load the data, build the model, pretrain and train it, measure it, and keep everything in a run directory."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from linmem import data
from linmem.data import Splits
from linmem.data.splits import SPLITS
from linmem.nn.baselines import RNNRBM, Persistence
from linmem.nn.initialize import set_output_bias_, set_persistence_
from linmem.nn.registry import build_model
from linmem.nn.sequence_model import SequenceModel, parameter_count
from linmem.nn.solved_memory import SolvedMemoryModel
from linmem.reporting import tables
from linmem.runs.directory import (
    FITTED,
    HISTORY,
    SCORES,
    STATE,
    check_resumable,
    load_run,
    read_options,
    read_pretraining,
    read_scores,
    run_directory,
    write_config,
)
from linmem.runs.initialization import fit_memory_size, pretrain_model
from linmem.runs.options import ESTIMATOR, RunOptions, check_options
from linmem.storage.atomic import write_json, write_lines
from linmem.storage.parsing import parsing
from linmem.training import data_parallel
from linmem.training.checkpoint import TrainingState
from linmem.training.joint_task import JointNextFrame
from linmem.training.loop import History, evaluate_on_examples, train_on_examples
from linmem.training.metrics import FrameScores, Scores
from linmem.training.prepared import PreparedTask
from linmem.training.rbm_task import NextFrameRBM
from linmem.training.solved import train_solved
from linmem.training.stored_scores import scores_from_dict
from linmem.training.tasks import NextFrame, Task, task_of


@dataclass(frozen=True)
class Summary:
    """Result of a finished run. Seconds are of training alone, and comparable within one machine."""

    scores: Scores  # on the validation split
    baseline: Scores  # of the baseline on the same split
    baseline_name: str
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
    splits: Splits | None = None,
) -> Summary:
    """Train as `options` say in the run directory `folder`; with `resume`, continue an interrupted run.

    `splits` is the data set of the options, where it is already loaded.

    Raises
    ------
    FileExistsError
        `folder` holds a run and neither `resume` nor `force` was given, or another process trains in it.
    ValueError
        The options contradict each other, the data, or the run to resume.
    DivergenceError
        The loss is no longer finite.
    """
    options = replace(options, data=_absolute_path(options.data))
    splits = options.load_data() if splits is None else splits
    prepared = PreparedTask(splits, task_of(splits))
    if options.model.model == ESTIMATOR:
        if resume:
            check_resumable(folder, options)
        check_options(options)
        return _run_estimator(options, prepared, folder, resume, force, progress)
    training, _ = prepared.examples("train"), prepared.examples("valid")  # before anything is written
    _check_piano_rolls(options, prepared)
    baseline = _baseline(prepared, "valid")
    requested, options = options, fit_memory_size(options, training)
    if resume:
        check_resumable(folder, options)
    check_options(options)
    model = build_model(options.model, splits.features, prepared.output_size, options.training.seed)
    task = _task_for(model, prepared.task)
    with ExitStack() as stack:
        if data_parallel.rank() == 0:
            stack.enter_context(run_directory(folder, resume=resume, force=force))
            write_config(folder, options, splits, prepared.output_size, type(prepared.task).__name__)
            if progress:
                changed = options.model.memory_size if options != requested else None
                print(prepared.describe(*baseline, memory_size=changed), flush=True)
        data_parallel.wait()
        if options.pretraining.output_bias_init == "marginal":
            set_output_bias_(model, task.constant(torch.cat(training.targets), prepared.output_size))
        if options.pretraining.skip_init == "persistence":
            assert isinstance(model, SequenceModel)  # models without a skip connection are refused
            set_persistence_(model, training.inputs, training.targets)
        model = model.to(device)
        if options.pretraining.pretrain != "none" and not (folder / STATE).exists():
            pretrain_model(model, options, prepared, folder, progress)
        history = _train(model, task, prepared, options, folder, progress)
        summary = _summarize(model, task, prepared, history, folder, *baseline)
        if data_parallel.rank() == 0:
            write_lines(folder / HISTORY, history.epochs)  # missing if the process was killed after its last epoch
            write_json(folder / SCORES, asdict(summary))
    return summary


def _run_estimator(
    options: RunOptions, prepared: PreparedTask, folder: Path, resume: bool, force: bool, progress: bool
) -> Summary:
    """Fit an estimator and measure it on the validation split; with `resume`, do what an interrupted run has not done.

    A forecaster of one series split in time is measured before its second fit, to train and valid: afterwards its
    error on valid is a training error. scores.json is written last and marks a finished run.
    """
    from linmem.runs import fitted_estimator as estimators  # imports scikit-learn

    estimator, splits = estimators.build(options, prepared.splits), prepared.splits
    name, baseline = _baseline(prepared, "valid")
    with run_directory(folder, resume=resume, force=force):
        fitted = estimators.load_estimator(folder) if resume and (folder / FITTED).exists() else None
        if fitted is not None and splits.consecutive and (folder / SCORES).exists():
            return _read_summary(folder)
        if fitted is None:
            write_config(folder, options, splits, prepared.output_size, type(prepared.task).__name__)
        if progress:
            print(prepared.describe(name, baseline, estimator_name=type(estimator).__name__), flush=True)
        started = time.perf_counter()
        if fitted is None or splits.consecutive:
            estimators.fit(estimator, splits)
        else:
            estimator = fitted
        scores = estimators.scores(estimator, prepared, "valid")
        if fitted is None:
            if splits.consecutive:
                estimators.fit(estimator, splits, valid=True)
            estimator.save(folder / FITTED)
        else:
            estimator = fitted
        seconds = time.perf_counter() - started
        summary = Summary(scores, baseline, name, estimators.size(estimator), 1, 1, seconds, 0.0)
        write_json(folder / SCORES, asdict(summary))
    return summary


def _read_summary(folder: Path) -> Summary:
    """The summary of the finished run in `folder`, as scores.json holds it."""
    path, remedy = folder / SCORES, "Delete it and resume the run."
    if not path.exists():
        raise FileNotFoundError(f"{folder} must hold a finished run, got one without {SCORES}. Continue it (--resume).")
    content = read_scores(folder)
    with parsing(path, "the scores of a run of this version", remedy):
        scores, baseline = scores_from_dict(content["scores"]), scores_from_dict(content["baseline"])
        return Summary(**content | {"scores": scores, "baseline": baseline})


def _train(
    model: nn.Module, task: Task, prepared: PreparedTask, options: RunOptions, folder: Path, progress: bool
) -> History:
    training, valid = prepared.examples("train"), prepared.examples("valid")

    def write_history(state: TrainingState) -> None:
        write_lines(folder / HISTORY, state.history)

    if isinstance(model, SolvedMemoryModel):
        return train_solved(
            model,
            _fast(task),
            training,
            valid,
            options.training,
            lag_decays=options.model.lag_decay,
            readout=options.model.readout,
            checkpoint=folder / STATE,
            after_epoch=write_history,
            progress=progress,
        )
    return train_on_examples(
        model,
        _fast(task),
        training,
        valid,
        options.training,
        checkpoint=folder / STATE,
        after_epoch=write_history,
        progress=progress,
    )


def _summarize(
    model: nn.Module,
    task: Task,
    prepared: PreparedTask,
    history: History,
    folder: Path,
    baseline_name: str,
    baseline: Scores,
) -> Summary:
    """Scores of the best epoch, as validated in training; those estimated from samples anew, with more of them."""
    valid = prepared.examples("valid")
    return Summary(
        evaluate_on_examples(model, task, valid, valid)
        if isinstance(task, NextFrameRBM | JointNextFrame)
        else scores_from_dict(history.best.valid),
        baseline,
        baseline_name,
        parameter_count(model),
        len(history.epochs),
        history.best_epoch,
        history.seconds / len(history.epochs),
        float(read_pretraining(folder)["seconds"]),
    )


def evaluate_run(folder: Path, split: str = "test", best_by: str = "loss", device: str = "cpu") -> dict[str, Scores]:
    """Metrics of a finished run on one split, the baseline's first; a threshold is chosen on the validation split.

    Raises
    ------
    ValueError
        `split` or `best_by` is unknown, or the data set has changed.
    FileNotFoundError
        `folder` holds no run.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
    if read_options(folder).model.model == ESTIMATOR:
        return _evaluate_estimator(folder, split)
    options, model = load_run(folder, best_by)
    splits = options.load_data()
    if (expected := getattr(model, "input_size", None) or splits.features) != splits.features:
        raise ValueError(f"{options.data} must have {expected} features as in {folder}, got {splits.features}.")
    prepared = PreparedTask(splits, task_of(splits))
    task = _task_for(model, prepared.task)
    name = options.model.model + ("" if options.pretraining.pretrain == "none" else f", {options.pretraining.pretrain}")
    baseline_name, baseline = _baseline(prepared, split)
    examples, valid = prepared.examples(split), prepared.examples("valid")
    return {baseline_name: baseline, name: evaluate_on_examples(model.to(device), task, examples, valid)}


def _evaluate_estimator(folder: Path, split: str) -> dict[str, Scores]:
    from linmem.runs import fitted_estimator as estimators

    splits, estimator = read_options(folder).load_data(), estimators.load_estimator(folder)
    estimators.check_features(estimator, splits, folder)
    if split == "valid" and splits.consecutive:  # the saved estimator is fitted to valid, too
        summary = _read_summary(folder)
        return {summary.baseline_name: summary.baseline, type(estimator).__name__: summary.scores}
    prepared = PreparedTask(splits, task_of(splits))
    name, baseline = _baseline(prepared, split)
    return {name: baseline, type(estimator).__name__: estimators.scores(estimator, prepared, split)}


def baseline_scores(splits: Splits, split: str) -> tuple[str, Scores]:
    """Name and metrics of the baseline: the copy of the last frame, the most frequent class, or the mean.

    For piano rolls the accuracies are those of the copy, at any threshold; NLL and expected accuracy are those of a
    model with two probabilities, of a note continuing and of a note starting, estimated on the training set.
    """
    return _baseline(PreparedTask(splits, task_of(splits)), split)


def _baseline(prepared: PreparedTask, split: str) -> tuple[str, Scores]:
    task, examples, valid = prepared.task, prepared.examples(split), prepared.examples("valid")
    name, model = task.baseline(prepared.examples("train"), prepared.output_size)
    scores = evaluate_on_examples(model, task, examples, valid)
    if isinstance(model, Persistence) and isinstance(scores, FrameScores):
        copy = evaluate_on_examples(model.certain(), task, examples, valid)
        assert isinstance(copy, FrameScores)
        scores = replace(copy, nll=scores.nll, expected_accuracy=scores.expected_accuracy)
    return name, scores


def scores_table(scores: dict[str, Scores]) -> str:
    """Return a Markdown table, one row per model; accuracies in per cent, NLL in nats per target (for music, frame)."""
    rows = [{"model": name} | score.row() for name, score in scores.items()]
    columns = dict.fromkeys(column for row in rows for column in row)  # a column that a model does not have: –
    digits: dict[str, int | str] = {"NLL": 3, "joint NLL": 3, "marginal error": 4, "AIS error": 3, "MSE": ".4g"}
    return tables.markdown([{column: row.get(column) for column in columns} for row in rows], digits)


def _task_for(model: nn.Module, task: Task) -> Task:
    """The task with the likelihood of the model: an RNN-RBM and a NADE give a joint distribution over the notes.

    Raises
    ------
    ValueError
        The targets of a joint model are not the next frames of piano rolls.
    """
    rbm = isinstance(model, RNNRBM)
    if not rbm and not (isinstance(model, SequenceModel) and model.is_joint):
        return task
    if type(task) is not NextFrame:
        option = "model must not be rnn-rbm" if rbm else "readout must not be nade"
        raise ValueError(f"{option} unless the data set has piano rolls. Choose another.")
    return NextFrameRBM(model) if isinstance(model, RNNRBM) else JointNextFrame()


def _fast(task: Task) -> Task:
    """The task with fewer samples where metrics are estimated from samples, for comparing epochs."""
    match task:
        case NextFrameRBM():
            return NextFrameRBM.fast(task.model)
        case JointNextFrame():
            return JointNextFrame.fast()
        case _:
            return task


def _check_piano_rolls(options: RunOptions, prepared: PreparedTask) -> None:
    """Check that options for piano rolls are not used with other data."""
    if type(prepared.task) is NextFrame:
        return
    if options.training.transpose:
        raise ValueError(
            f"transpose must be 0 for data that are not piano rolls, got {options.training.transpose}. Omit the option."
        )
    if options.pretraining.skip_init != "zero":
        raise ValueError(
            f"skip_init must be zero for data that are not piano rolls, got {options.pretraining.skip_init!r}."
            " Omit the option."
        )


def _absolute_path(name: str) -> str:
    """Return the name of a data set as it is, and the path of a folder or file absolute, so that the run can move."""
    path = Path(os.path.expanduser(name))
    return name if name in data.SETS or not path.exists() else str(path.resolve())
