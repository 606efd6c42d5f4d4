"""Initialize the model of a run: the size of solved memories, and pretraining in closed form.

Symbol: p memory units.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from linmem.nn.baselines import StochasticDetach
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel
from linmem.runs.directory import PRETRAINING, UNFOLDED
from linmem.runs.options import RunOptions
from linmem.storage.atomic import write_json
from linmem.training import data_parallel
from linmem.training.checkpoint import read_history
from linmem.training.incremental import add_modules
from linmem.training.options import TrainingOptions
from linmem.training.prepared import PreparedTask
from linmem.training.pretraining import pretrain, pretrain_on_inputs
from linmem.training.solved import solvable_memory_size
from linmem.training.tasks import Examples


def fit_memory_size(options: RunOptions, training: Examples) -> RunOptions:
    """Lower the default size of solved memories to the rank of the training inputs; a size that was set is kept."""
    size, decays = options.model.memory_size, options.model.lag_decay
    if options.model.model != "solved" or size != ModelOptions.memory_size:
        return options
    size = solvable_memory_size(training, size, decays, options.training.transpose)
    return replace(options, model=replace(options.model, memory_size=size))


def pretrain_model(model: nn.Module, options: RunOptions, prepared: PreparedTask, folder: Path, progress: bool) -> None:
    """Initialize the model as `options.pretraining` says, and write epochs and seconds."""
    assert isinstance(model, SequenceModel)
    readout: Any = model.readout
    if model.is_joint:  # the linear map to the notes' biases is pretrained, as a readout of independent notes
        readout = nn.Linear(readout.in_features, readout.notes, device=readout.biases.weight.device)
        readout.load_state_dict({"weight": readout.weight, "bias": model.readout.note_bias})
    layer: Any = model.recurrent.lmn if isinstance(model.recurrent, StochasticDetach) else model.recurrent
    before = read_history(folder / UNFOLDED)  # epochs of an interrupted pretraining
    started, cpu_started, epochs = time.perf_counter(), time.process_time(), 0
    training, valid = prepared.examples("train"), prepared.examples("valid")
    if options.pretraining.pretrain == "inputs":
        pretrain_on_inputs(
            layer,
            readout,
            *training,
            task=prepared.task,
            seed=options.training.seed,
            transpose=options.training.transpose,
        )
    elif options.pretraining.pretrain == "incremental":
        epochs = _add_modules(model, options, prepared, progress)
    else:
        pretrained = pretrain(
            layer,
            readout,
            *training,
            valid=valid,
            lags=options.model.lags,
            nonlinearity=options.pretraining.unfolded_nonlinearity,
            dropout=(options.model.input_dropout, options.model.readout_dropout),
            lag_decay=_single_lag_decay(options),
            memory_decay=options.pretraining.memory_decay,
            options=_pretraining_options(options),
            task=prepared.task,
            checkpoint=folder / UNFOLDED,
            progress=progress,
        )
        epochs = len(pretrained.history.epochs)
    if model.is_joint:
        model.readout.set_note_biases_(readout.weight, readout.bias)
    if data_parallel.rank() == 0:
        seconds = time.perf_counter() - started + sum(row.seconds for row in before)
        cpu_seconds = time.process_time() - cpu_started + sum(row.cpu_seconds or 0.0 for row in before)
        write_json(folder / PRETRAINING, {"seconds": seconds, "cpu_seconds": cpu_seconds, "epochs": epochs})


def _pretraining_options(options: RunOptions) -> TrainingOptions:
    epochs, rate = options.pretraining.pretrain_epochs, options.pretraining.pretrain_learning_rate
    return replace(options.training, max_epochs=epochs, learning_rate=rate)


def _add_modules(model: SequenceModel, options: RunOptions, prepared: PreparedTask, progress: bool) -> int:
    """Train a multi-scale LMN module by module, give `model` its weights, and return the number of epochs."""
    one, seed = replace(options.model, scales=1), options.training.seed
    small = build_model(one, prepared.splits.features, prepared.output_size, seed).to(model.readout.bias.device)
    assert isinstance(small, SequenceModel)
    small.readout.load_state_dict({"weight": small.readout.weight, "bias": model.readout.bias})
    if small.skip is not None and model.skip is not None:
        small.skip.load_state_dict(model.skip.state_dict())
    histories = add_modules(
        small,
        prepared.splits,
        prepared.task,
        _pretraining_options(options),
        scales=options.model.scales,
        progress=progress,
    )
    model.load_state_dict(small.state_dict())
    return sum(len(history.epochs) for history in histories)


def _single_lag_decay(options: RunOptions) -> float:
    """The lag decay of the pretraining, 1 by default."""
    decays = options.model.lag_decay or (1.0,)
    if len(decays) > 1:
        raise ValueError(f"lag_decay must be one number with pretrain=unfolded, got {list(decays)}. Give one.")
    return decays[0]
