"""Trained memories of the experiment `encoding`: networks of p units by gradient descent, their memories set or not.

Every row trains for the same number of epochs: one that starts from an unfolded network gives it half of them. "Fixed"
memories keep W_mm as it was set. The weights that count are the best on valid, those before the first epoch among them:
Adam's first steps can cost a solved memory what it has. An LMN has f = p functional units, its delay line f = p / 10
and so ten steps.

Letters: f functional units, p memory units.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from linmem.experiments.encoding.tasks import Question
from linmem.experiments.harness.diverging import train_while_finite
from linmem.experiments.static.memories import started
from linmem.nn.initialize import fit_readout_
from linmem.nn.lmn import LMN
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel, parameter_count
from linmem.training.loop import TrainingOptions, evaluate
from linmem.training.pretraining import pretrain, pretrain_on_inputs

WRITTEN = 0.9  # the largest functional unit as an impulse writes a start into the memory


@dataclass(frozen=True)
class Row:
    """A way to have a memory of p units."""

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


def trained(row: Row, asked: Question, p: int, window: float, training: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train a row on a question: metrics on valid and test, parameters, and seconds of the processor.

    `training` holds TrainingOptions; its `max_epochs` is the whole effort.
    """
    begun = time.process_time()
    splits, task = asked.splits, asked.task
    f = max(p // row.steps, 1) if row.steps else p
    size = ModelOptions(row.model, f, p, window=window, lags=10)
    model = build_model(size, splits.features, task.output_size(splits), seed)
    assert isinstance(model, SequenceModel)
    epochs = training["max_epochs"]
    before = epochs // 2 if row.pretrain == "unfolded" else 0
    rest: dict[str, Any] = {**training, "max_epochs": epochs - before, "patience": epochs, "seed": seed}
    options = TrainingOptions(**rest, memory_lr_scale=0.0 if row.fixed else TrainingOptions.memory_lr_scale)
    _fill(model, row, asked, TrainingOptions(**{**rest, "max_epochs": max(before, 1)}), seed)
    start, at_start = deepcopy(model.state_dict()), evaluate(model, splits, task, "valid").loss
    history = train_while_finite(model, splits, task, options)
    kept = history.best_epoch
    if kept == 0 or at_start < evaluate(model, splits, task, "valid").loss:
        model.load_state_dict(start)
        kept = 0
    valid, test = (evaluate(model, splits, task, split) for split in ("valid", "test"))
    return {
        "parameters": parameter_count(model) - (_memory(model).numel() if row.fixed else 0),
        "best epoch": kept + before,
        "epochs": epochs,
        "diverged": history.diverged,
        "cpu seconds": round(time.process_time() - begun, 2),
        "valid": asdict(valid) | {"loss": valid.loss},
        "test": asdict(test) | {"loss": test.loss},
    }


def _fill(model: SequenceModel, row: Row, asked: Question, options: TrainingOptions, seed: int) -> None:
    layer: Any = model.recurrent
    inputs, targets = asked.task.examples(asked.splits, "train")
    if row.pretrain == "unfolded":
        valid = asked.task.examples(asked.splits, "valid")
        pretrain(layer, model.readout, inputs, targets, valid=valid, lags=10, options=options, task=asked.task)
    elif row.pretrain == "inputs" and asked.splits.name == "generation":
        _recalling_(layer, inputs[0], targets[0], seed)
        with torch.no_grad():
            states = layer(inputs[0][None])[0][0]
        fit_readout_(model.readout, states, targets[0], ridge=1e-6)
    elif row.pretrain == "inputs":
        pretrain_on_inputs(layer, model.readout, inputs, targets, task=asked.task, seed=seed)


@torch.no_grad()
def _recalling_(layer: LMN, impulse: Tensor, waveform: Tensor, seed: int) -> None:
    """Let the impulse put the layer into the state that recalls the waveform: f = p, W_mh = 0, W_mm = C_y, W_hm ∝ I."""
    (memory,) = started("LAES as solved", waveform, layer.memory_size, seed)
    share = WRITTEN / memory.A.abs().max()
    write = torch.atanh(share * memory.A)  # the only input is the impulse, so tanh costs nothing
    values = {"xh": write, "mh": 0 * memory.B, "hm": torch.eye(layer.memory_size) / share, "mm": memory.B}
    for name, value in values.items():
        layer.get_parameter(f"weight_{name}_l0").copy_(value)
    layer.get_parameter("bias_h_l0").zero_()
    layer.get_parameter("bias_m_l0").zero_()


def _memory(model: SequenceModel) -> Tensor:
    return model.recurrent.get_parameter("weight_mm_l0")
