"""Trained networks of the experiment `encoding`: p units by gradient descent, with memories initialised or not.

Every row trains until its loss on valid has not improved for a number of epochs, or until a limit of epochs, both the
same for all; an unfolded network that a row starts from trains alike before. "Fixed" memories keep W_mm as it is set.
The LAES of inputs is the papers'; "best variant" is the one of seven, with a lag decay or a smaller spectral radius,
that has the lowest loss on valid with a solved readout. The weights with the lowest loss on valid are evaluated, those
before the first epoch among them: Adam's first steps can destroy a solved memory. An LMN has f = p functional units,
one with a delay line f = p / 10 and so ten steps.

Symbols: f functional units, p memory units.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from torch import Tensor

from linmem.experiments.encoding.grids import NetworkConfig
from linmem.experiments.encoding.starts import Row, initialize
from linmem.experiments.encoding.tasks import Problem
from linmem.experiments.harness.training import train_until_divergence
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel, parameter_count
from linmem.training.loop import evaluate
from linmem.training.options import TrainingOptions

ROWS: Mapping[str, Row] = {
    "RNN": Row("rnn"),
    "LSTM": Row("lstm"),
    "LMN, SGD alone": Row("lmn-b"),
    "LMN, delay line": Row("lmn-delay", steps=10),
    "LMN, orthogonal fixed": Row("lmn-fixed"),
    "LMN, orthogonal": Row("lmn-fixed", released=True),
    "LMU": Row("lmu"),
    "LMN, LAES of inputs fixed": Row("lmn-b", "inputs", fixed=True),
    "LMN, LAES of inputs": Row("lmn-b", "inputs"),
    "LMN, LAES of inputs, best variant": Row("lmn-b", "variant"),
    "LMN, LAES of hidden states": Row("lmn-b", "unfolded"),
}


class TrainedRow(NamedTuple):
    """A trained model, and its scores on valid, parameters, epochs and CPU seconds."""

    model: SequenceModel
    summary: dict[str, Any]


def train_row(row: Row, problem: Problem, config: NetworkConfig, learning_rate: float, seed: int) -> TrainedRow:
    """Train a row on a problem."""
    began = time.process_time()
    splits, task = problem.splits, problem.task
    f = max(config.units // row.steps, 1) if row.steps else config.units
    size = ModelOptions(row.model, f, config.units, window=config.window, lags=10)
    model = build_model(size, splits.features, task.output_size(splits), seed)
    assert isinstance(model, SequenceModel)
    pretraining = TrainingOptions(
        learning_rate, config.batch_size, max_epochs=config.max_epochs, patience=config.patience, seed=seed
    )
    options = replace(pretraining, memory_lr_scale=0.0) if row.fixed else pretraining
    start = initialize(model, row, problem, pretraining, seed)
    initial, initial_loss = deepcopy(model.state_dict()), evaluate(model, splits, task, "valid").loss
    training = train_until_divergence(model, splits, task, options)
    best_epoch = training.best_epoch
    if best_epoch == 0 or initial_loss < evaluate(model, splits, task, "valid").loss:
        model.load_state_dict(initial)
        best_epoch = 0
    valid = evaluate(model, splits, task, "valid")
    summary = {
        "parameters": parameter_count(model) - (_recurrent_matrix(model).numel() if row.fixed else 0),
        "best_epoch": best_epoch,
        "epochs": training.epochs,
        "pretraining_epochs": start.epochs,
        "variant": start.variant,
        "training": {"max_epochs": options.max_epochs, "patience": options.patience},
        "diverged": training.diverged,
        "cpu_seconds": round(time.process_time() - began, 2),
        "valid": asdict(valid) | {"loss": valid.loss},
    }
    return TrainedRow(model, summary)


def _recurrent_matrix(model: SequenceModel) -> Tensor:
    return model.recurrent.get_parameter("weight_mm_l0")
