"""Incremental training of a multi-scale memory: train, add a slower module in closed form, continue training.

A new module starts as the linear autoencoder of the network's current hidden states at the steps that update it; adding
it changes no output [Carta, Sperduti & Bacciu, ECML-PKDD 2020; E21].

Symbols: a inputs, f functional units, p memory units of one module.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.multiscale import MultiScaleLMN, grow_, sampled_hidden_states
from linmem.nn.sequence_model import SequenceModel
from linmem.training.loop import History, train
from linmem.training.options import TrainingOptions
from linmem.training.tasks import Task


def add_modules(
    model: SequenceModel,
    splits: Any,
    task: Task,
    options: TrainingOptions,
    *,
    scales: int,
    progress: bool = False,
) -> list[History]:
    """Train a multi-scale LMN and add a module after every training with `options`, until it has `scales` modules.

    The last module is not trained. See `train_growing`; returns one history per module added.
    """
    layer = model.recurrent
    if not isinstance(layer, MultiScaleLMN):
        raise ValueError(f"model.recurrent must be a MultiScaleLMN, got {type(layer).__name__}.")
    if not isinstance(model.readout, nn.Linear):
        raise ValueError(f"model.readout must be a torch.nn.Linear, got {type(model.readout).__name__}.")
    if scales <= layer.scales:
        raise ValueError(f"scales must be above the layer's {layer.scales}, got {scales}. Raise scales.")
    inputs = [x.to(layer.bias_h) for x in task.examples(splits, "train").inputs]
    histories = []
    while layer.scales < scales:
        histories.append(train(model, splits, task, options, progress=progress))
        autoencoder = LinearAutoencoder(layer.memory_size, decoder="tied", random_state=options.seed)
        autoencoder.fit(sampled_hidden_states(layer, inputs))
        grow_(layer, autoencoder, model.readout)
        if model.recipe is not None:
            model.recipe["scales"] = layer.scales
    return histories


def train_growing(
    model: SequenceModel,
    splits: Any,
    task: Task,
    options: TrainingOptions | None = None,
    *,
    scales: int,
    epochs: int,
    progress: bool = False,
) -> list[History]:
    """Train a multi-scale LMN and add a module after every `epochs` epochs.

    Parameters
    ----------
    model : SequenceModel
        Its recurrent layer is a `MultiScaleLMN` with fewer modules than `scales`, one as a rule.
    splits : Splits
        Has `train` and `valid`, lists of sequences that `task` understands.
    task : Task
        Task of the training.
    options : TrainingOptions, optional
        Options of every stage; all stages but the last have at most `epochs` epochs.
    scales : int
        Final number of modules.
    epochs : int
        Largest number of epochs before the next module is added.
    progress : bool
        Show a progress bar a stage, on a terminal.

    Returns
    -------
    list of History
        One per stage. Each stage starts from the best weights of the previous one, with a new optimizer.

    Raises
    ------
    ValueError
        The layer is no `MultiScaleLMN` or has that many modules already, the readout is not linear, or the training
        sequences are so short that the hidden states at a slow module's steps have fewer than p independent directions.

    Examples
    --------
    >>> import torch, linmem
    >>> from linmem.growing import train_growing
    >>> from linmem.multiscale import MultiScaleLMN
    >>> from linmem.nn.sequence_model import SequenceModel
    >>> from linmem.training.options import TrainingOptions
    >>> from linmem.training.tasks import NextFrame
    >>> model = SequenceModel(MultiScaleLMN(88, 8, 8, batch_first=True), torch.nn.Linear(8, 88))
    >>> chorales = linmem.data.load("chorales:8:4")
    >>> options = TrainingOptions(max_epochs=2)
    >>> histories = train_growing(model, chorales, NextFrame(), options, scales=2, epochs=1)
    >>> len(histories), model.recurrent.scales
    (2, 2)
    """
    options = options or TrainingOptions()
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}. Raise epochs.")
    stage = replace(options, max_epochs=epochs)
    histories = add_modules(model, splits, task, stage, scales=scales, progress=progress)
    return [*histories, train(model, splits, task, options, progress=progress)]
