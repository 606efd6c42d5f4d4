"""Trained networks of the experiment `encoding`: p units by gradient descent, with memories initialised or not.

Every row trains until its loss on valid has not improved for a number of epochs, or until a limit of epochs, both the
same for all; an unfolded network that a row starts from trains alike before. "Fixed" memories keep W_mm as solved. The
weights with the lowest loss on valid are evaluated, those before the first epoch among them: Adam's first steps can
destroy a solved memory. An LMN has f = p functional units, one with a delay line f = p / 10 and so ten steps.

Symbols: f functional units, p memory units.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from linmem.experiments.encoding.grids import NetworkConfig
from linmem.experiments.encoding.tasks import Problem
from linmem.experiments.harness.training import train_until_divergence
from linmem.experiments.static_memories.memories import generators
from linmem.nn.initialize import fit_readout_
from linmem.nn.lmn import LMN
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel, parameter_count
from linmem.training.loop import evaluate
from linmem.training.options import TrainingOptions
from linmem.training.pretraining import pretrain, pretrain_on_inputs

LARGEST_WRITE = 0.9  # the largest functional unit when an impulse writes the initial state into the memory


@dataclass(frozen=True)
class Row:
    """A model and how its memory is initialised."""

    model: str
    pretrain: str = "none"  # none, inputs or unfolded
    fixed: bool = False  # whether W_mm stays as solved
    steps: int = 0  # of a delay line


ROWS: Mapping[str, Row] = {
    "RNN": Row("rnn"),
    "LSTM": Row("lstm"),
    "LMN, SGD alone": Row("lmn-b"),
    "LMN, delay line": Row("lmn-delay", steps=10),
    "LMN, orthogonal fixed": Row("lmn-fixed"),
    "LMU": Row("lmu"),
    "LMN, LAES of inputs fixed": Row("lmn-b", "inputs", fixed=True),
    "LMN, LAES of inputs": Row("lmn-b", "inputs"),
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
    pretraining_epochs = _initialize(model, row, problem, pretraining, seed)
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
        "pretraining_epochs": pretraining_epochs,
        "training": {"max_epochs": options.max_epochs, "patience": options.patience},
        "diverged": training.diverged,
        "cpu_seconds": round(time.process_time() - began, 2),
        "valid": asdict(valid) | {"loss": valid.loss},
    }
    return TrainedRow(model, summary)


def _initialize(model: SequenceModel, row: Row, problem: Problem, options: TrainingOptions, seed: int) -> int:
    """Fill memory and readout as `row` says; returns the epochs that an unfolded network trained before."""
    layer: Any = model.recurrent
    inputs, targets = problem.task.examples(problem.splits, "train")
    if row.pretrain == "unfolded":
        valid = problem.task.examples(problem.splits, "valid")
        pretrained = pretrain(
            layer, model.readout, inputs, targets, valid=valid, lags=10, options=options, task=problem.task
        )
        return len(pretrained.history.epochs)
    if row.pretrain == "inputs" and problem.waveform is not None:
        _initialize_generator_(layer, problem.waveform, seed)
        with torch.no_grad():
            states = layer(inputs[0][None])[0][0]
        fit_readout_(model.readout, states, targets[0], ridge=1e-6)
    elif row.pretrain == "inputs":
        pretrain_on_inputs(layer, model.readout, inputs, targets, task=problem.task, seed=seed)
    return 0


@torch.no_grad()
def _initialize_generator_(layer: LMN, waveform: Tensor, seed: int) -> None:
    """Let the impulse write the state that decodes to the waveform: f = p, W_mh = 0, W_mm = C_y, W_hm ∝ I."""
    (memory,) = generators("LAES as solved", waveform, layer.memory_size, seed)
    share = LARGEST_WRITE / memory.A.abs().max()
    write = torch.atanh(share * memory.A)  # the only non-zero input is the impulse, so tanh is inverted exactly
    values = {"xh": write, "mh": 0 * memory.B, "hm": torch.eye(layer.memory_size) / share, "mm": memory.B}
    for name, value in values.items():
        layer.get_parameter(f"weight_{name}_l0").copy_(value)
    layer.get_parameter("bias_h_l0").zero_()
    layer.get_parameter("bias_m_l0").zero_()
    layer.norm_limits.reset()


def _recurrent_matrix(model: SequenceModel) -> Tensor:
    return model.recurrent.get_parameter("weight_mm_l0")
