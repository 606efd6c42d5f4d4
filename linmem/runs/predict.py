"""Predictions of a trained run for the sequences of a data set, in the units of the data.

Symbols: T steps, o outputs.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from linmem import data
from linmem.data.splits import SPLITS
from linmem.data.standardization import Standardization
from linmem.runs.directory import load_run, read_config
from linmem.training.tasks import Classes, NextFrame, NextValue, task_of


class Predictions(NamedTuple):
    """Outputs after every step, and what they are."""

    columns: list[str]  # o names
    values: list[Tensor]  # (T_i, o): probabilities of notes or classes, or numbers


@torch.no_grad()
def predict(folder: Path, name: str, split: str = "test", best_by: str = "loss") -> Predictions:
    """Apply the model of a run to one split of the data set `name`, which is read with the options of the run.

    Raises
    ------
    FileNotFoundError
        `folder` holds no run with a finished epoch.
    ValueError
        The data do not have the features of the run, or its model has a joint distribution over the notes.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
    options, model = load_run(folder, best_by)
    if options.model.readout == "nade" or options.model.model == "rnn-rbm":
        raise ValueError("the model must not have a joint distribution over notes, got one. Use `linmem generate`.")
    config, task = read_config(folder), task_of(options.load_data())
    sequences = getattr(data.load(name, **asdict(options.files) | {"standardize": False}), split)
    if (features := sequences[0].shape[1]) != config["input_size"]:
        raise ValueError(f"{name} must have {config['input_size']} features as in {folder}, got {features}.")
    stored = config["description"]["standardization"]
    statistics = Standardization(**{k: torch.tensor(v) for k, v in stored.items()}) if stored else None
    values = []
    for sequence in sequences:
        outputs = model((statistics.apply(sequence) if statistics else sequence)[None])[0][0]
        if isinstance(task, Classes):
            outputs = outputs.softmax(-1)
        elif isinstance(task, NextFrame):
            outputs = outputs.sigmoid()
        elif statistics and type(task) is NextValue:
            outputs = statistics.invert(outputs)
        values.append(outputs)
    kind = "class" if isinstance(task, Classes) else "note" if isinstance(task, NextFrame) else "output"
    names = config["description"].get("class_names") or range(config["output_size"])
    return Predictions([f"{kind}_{one}" for one in names], values)
