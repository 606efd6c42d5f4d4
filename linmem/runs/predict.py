"""Predictions of a trained run for the sequences of a data set, in the units of the data.

Symbols: T steps, o outputs.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from linmem import data
from linmem.data import Splits
from linmem.data.folder import load_unlabelled
from linmem.data.splits import SPLITS
from linmem.data.standardization import Standardization
from linmem.estimators.classifier import MemoryClassifier
from linmem.nn.baselines import RNNRBM
from linmem.nn.nade import FrameDistribution
from linmem.runs import fitted_estimator as estimators
from linmem.runs.directory import CONFIG, load_run, read_config, read_options
from linmem.runs.options import ESTIMATOR, RunOptions
from linmem.storage.documents import check_object
from linmem.storage.parsing import parsing
from linmem.training.tasks import task_of

SAMPLES = 100  # frames per step that the marginals of a NADE are estimated from


class Predictions(NamedTuple):
    """Outputs after each of the last steps of every sequence, and what they are."""

    columns: list[str]  # o names
    values: list[Tensor]  # (n_i, o): probabilities of notes or classes, decision values, or numbers; n_i ≤ T_i
    lengths: list[int]  # T_i
    classes: list[str]  # names of the classes, in the order of the columns; empty for other tasks
    files: list[str]  # names of the n files where all of them were read; empty for a split


def predict(
    folder: Path, name: str, split: str | None = None, best_by: str = "loss", *, every_step: bool = False
) -> Predictions:
    """Apply the model of a run to the data set `name`, which is read with the options of the run.

    Without `split`, other files than those of the run are predicted one and all, where no folders train, valid and
    test divide them; of all other data the test split is. The probabilities of a model with a joint distribution over
    notes are its marginals, estimated from samples. An estimator of labels or numbers has one output per sequence, with
    `every_step` one per step. A class that an estimator has not seen in training has the decision
    value −∞.

    Raises
    ------
    FileNotFoundError
        `folder` holds no run with a finished epoch.
    ValueError
        The data do not have the features of the run, or its estimator reads whole series and has no outputs of steps.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
    options, config = read_options(folder), read_described_config(folder)
    files = replace(options.files, standardize=False)
    new = _new_files(name, options) if split is None else None
    splits, split = new or data.load(name, **asdict(files)), split or "test"
    if splits.features != config["input_size"]:
        raise ValueError(f"{name} must have {config['input_size']} features as in {folder}, got {splits.features}.")
    sequences = getattr(splits, split)
    task = task_name(options, config)
    if options.model.model == ESTIMATOR:
        values = _estimated(folder, splits, split, config, every_step)
        kind = "decision" if task == "Classes" else "output"
    else:
        scale = Standardization.of(config["description"])
        values = _network_outputs(load_run(folder, best_by)[1], sequences, scale, task)
        kind = {"Classes": "class"}.get(task, "note" if is_frame(task) else "output")
    names = [str(one) for one in config["description"].get("class_names") or range(config["output_size"])]
    classes = names if task == "Classes" else []
    read = new.titles["test"] if new else []
    return Predictions([f"{kind}_{one}" for one in names], values, list(map(len, sequences)), classes, read)


def read_described_config(folder: Path) -> dict[str, Any]:
    """Read the configuration of a run with what describes its data: features, outputs, statistics, names of classes.

    Raises
    ------
    ValueError
        The configuration lacks one of these, or holds values of another type or number.
    """
    path, remedy = folder / CONFIG, "Train again with --force."
    needed = {"input_size": int, "output_size": int, "description": dict}
    config = check_object(read_config(folder), str(path), remedy, needed)
    with parsing(path, "the configuration of a run", remedy):
        scale, names = Standardization.of(config["description"]), config["description"].get("class_names") or []
        if scale and not scale.mean.shape == scale.scale.shape == (config["input_size"],):
            raise ValueError(f"statistics of {len(scale.mean)} features instead of {config['input_size']}")
        if not isinstance(names, list):
            raise ValueError(f"class_names of type {type(names).__name__} instead of a list")
    return config


def _new_files(name: str, options: RunOptions) -> Splits | None:
    """All sequences of a folder or file that is not the run's own; None for other data."""
    path = Path(name).expanduser()
    if name in data.SETS or not path.exists() or path.resolve() == Path(options.data).expanduser().resolve():
        return None
    return load_unlabelled(path, replace(options.files, standardize=False))


def task_name(options: RunOptions, config: dict[str, Any]) -> str:
    """Name of the task's class; a run of an earlier version does not hold it, and its data are loaded."""
    return str(config["task"]) if "task" in config else type(task_of(options.load_data())).__name__


def is_frame(task: str) -> bool:
    """Whether the targets of a task are notes."""
    return task in ("NextFrame", "GivenFrames", "Recall")


@torch.no_grad()
def _network_outputs(
    model: nn.Module, sequences: list[Tensor], scale: Standardization | None, task: str
) -> list[Tensor]:
    values, generator = [], torch.Generator().manual_seed(0)
    for sequence in sequences:
        outputs = model((scale.apply(sequence) if scale else sequence)[None])[0]
        if isinstance(outputs, FrameDistribution):
            outputs = outputs.marginals(SAMPLES, generator).probability[0]
        elif isinstance(model, RNNRBM):
            outputs = model.marginals(outputs[0], generator=generator)
        elif task == "Classes":
            outputs = outputs[0].softmax(-1)
        elif is_frame(task):
            outputs = outputs[0].sigmoid()
        else:
            outputs = scale.invert(outputs[0]) if scale and task == "NextValue" else outputs[0]
        values.append(outputs)
    return values


def _estimated(folder: Path, splits: Splits, split: str, config: dict[str, Any], every_step: bool) -> list[Tensor]:
    """Outputs of a run's estimator; decision values in the order of the data's classes, not of the estimator's.

    The estimator sorts its classes, as texts where they have names, and knows those of its training split alone.
    """
    estimator = estimators.load_estimator(folder)
    values = [torch.from_numpy(y) for y in estimators.outputs(estimator, splits, split, every_step=every_step)]
    if not isinstance(estimator, MemoryClassifier):
        return values
    column = {one: index for index, one in enumerate(estimator.classes_.tolist())}
    unknown = len(column)  # the column that is appended, for classes without a training sequence
    order = [
        column.get(one, unknown) for one in config["description"].get("class_names") or range(config["output_size"])
    ]
    return [functional.pad(y, (0, 1), value=-torch.inf)[:, order] for y in values]
