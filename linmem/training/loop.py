"""Training by gradient descent: Adam, clipped gradients, early stopping, and runs that can be cut and taken up again.

Under `torchrun` every worker takes its part of each batch, and the result is that of one process: see `workers`.

All randomness of an epoch (order, batches, dropout) is drawn from (seed, epoch) alone. So a run needs no generator's
state to go on from where it was: weights, Adam's moments and the epoch's number suffice, and on a CPU the resumed run
ends with the same bits as one that was never cut.

The loss is averaged over the answers that a batch asks for, for music the frames, so it is in nats per frame; padding
is cut away before any loss or metric sees it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import reduce
from numbers import Integral, Real
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from linmem.nn.baselines import RNNRBM, orthogonality_penalty
from linmem.nn.sequence_model import SequenceModel, parameter_groups
from linmem.sequences import length_buckets
from linmem.training import distributed
from linmem.training.batching import Chunk, chunks, on_device, shuffled_buckets
from linmem.training.checkpoint import Epoch, TrainingState, resume, save
from linmem.training.metrics import Scores
from linmem.training.tasks import Examples, Task

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Parameters
    ----------
    learning_rate : float
        Adam's step.
    batch_size : int
        Sequences a batch; sequences of similar length share one.
    max_epochs : int
        Passes over the training set at most.
    patience : int
        Epochs without a better validation loss before training stops.
    clip : float
        Largest norm of the gradient.
    weight_decay : float
        L2, added to the gradient as by Adam's own `weight_decay`; relative to a loss in nats per frame.
    memory_lr_scale : float
        Learning rate of a linear memory's own weights W_mm, relative to `learning_rate`; 0 leaves them as solved. Adam
        moves every entry alike, so a whole matrix moves fast: at 1, the papers' protocol, the spectral radius of a
        memory that was solved on the chorales is 1.04 after an epoch, at 0.1 it is 0.99 (docs/training.md).
    ema_decay : float
        Decay per step of a running average of the weights, which is then what is validated and kept; 0: no average.
    orthogonality : float
        λ of the penalty λ ‖W_mmᵀ W_mm − I‖² on linear memories [S20: 1e-4 … 1e-1].
    truncate : int
        Backpropagate through so many steps at a time, the state carried on, a step of Adam for each; 0: through all.
    precision : str
        float32, or bfloat16 for the matrix products of forward and backward pass.
    seed : int
        Of the order of the batches and of dropout.
    """

    learning_rate: float = 1e-3
    batch_size: int = 16
    max_epochs: int = 200
    patience: int = 20
    clip: float = 5.0
    weight_decay: float = 0.0
    memory_lr_scale: float = 0.1
    ema_decay: float = 0.0
    orthogonality: float = 0.0
    truncate: int = 0
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            whole = name in ("batch_size", "max_epochs", "patience", "truncate", "seed")
            if name != "precision" and not isinstance(value, Integral if whole else Real):
                raise ValueError(f"{name} is {value!r}: a {'whole number' if whole else 'number'} was wanted")
        for name in ("learning_rate", "batch_size", "max_epochs", "patience", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: a number above 0 was wanted")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay is {self.ema_decay}: a number from 0 to below 1 was wanted")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}: the known ones are {', '.join(PRECISIONS)}")
        for name in ("weight_decay", "memory_lr_scale", "orthogonality", "truncate"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: 0 or more was wanted")


@dataclass(frozen=True)
class History:
    """What a training run leaves behind: a row an epoch, and the best epoch by validation loss."""

    epochs: list[Epoch]
    best_epoch: int
    seconds: float

    @property
    def best(self) -> Epoch:
        """The epoch with the lowest validation loss."""
        return self.epochs[self.best_epoch - 1]


def train(
    model: nn.Module,
    splits: Any,
    task: Task,
    options: TrainingOptions | None = None,
    *,
    checkpoint: Path | None = None,
    after_epoch: Callable[[TrainingState], None] | None = None,
    progress: bool = False,
) -> History:
    """Train `model`; leave it with the weights of the epoch with the lowest validation loss.

    Parameters
    ----------
    model : Module
        Called as `outputs, state = model(x)` on padded batches x (B, T, a).
    splits : Splits
        Has `train` and `valid`, lists of sequences that `task` understands.
    task : Task
        What is asked, e.g. `NextFrame()`.
    options : TrainingOptions, optional
    checkpoint : Path, optional
        File in which the run is kept after every epoch. Where it exists already, the run goes on from it.
    after_epoch : callable, optional
        Called with the state after every epoch: to log it, to show it.
    progress : bool
        Show a progress bar, on a terminal.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        The data do not fit the task, or the loss is no longer finite (the best weights so far are kept in the model),
        or that on the validation split never was.
    """
    options = options or TrainingOptions()
    state = TrainingState(model, _adam(model, options), _average(model, options))
    if options.ema_decay and isinstance(model, RNNRBM):
        raise ValueError(
            f"ema_decay is {options.ema_decay}, but an RNN-RBM's task reads the trained weights: set it to 0"
        )
    if options.truncate and not isinstance(model, SequenceModel | RNNRBM):
        raise ValueError(
            f"truncate is {options.truncate}, but a {type(model).__name__} carries no state on: set it to 0"
        )
    if checkpoint and checkpoint.exists():
        resume(state, asdict(options), checkpoint)
    distributed.wait()  # before the first of them writes
    shared = distributed.averaging_gradients(model)
    training, validation = (on_device(model, task.examples(splits, split)) for split in ("train", "valid"))
    bar = tqdm(
        total=options.max_epochs,
        initial=state.epoch,
        unit="epoch",
        disable=None if progress and distributed.rank() == 0 else True,
    )
    while not state.finished(options.max_epochs, options.patience):
        started, worked = time.perf_counter(), time.process_time()
        train_loss = _train_epoch(shared, state, training, task, options)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
        if not math.isfinite(train_loss):
            _restore_best(state)
            raise ValueError(
                f"the training loss became {train_loss} in epoch {state.epoch + 1}: lower learning_rate or clip"
                f" (learning_rate is {options.learning_rate}, clip {options.clip})"
            )
        counts = count(state.judged, validation, task, options.batch_size)
        valid = counts.scores(counts.choice())
        row = Epoch(state.epoch + 1, train_loss, valid.loss, asdict(valid), seconds, cpu_seconds)
        state.record(row)
        if distributed.rank() == 0 and checkpoint:
            save(state, asdict(options), checkpoint)
        if distributed.rank() == 0 and after_epoch:
            after_epoch(state)
        bar.update()
        bar.set_postfix(valid_loss=f"{valid.loss:.4g}", best=f"{state.best['loss'].value:.4g}")
    bar.close()
    if not state.best["loss"].epoch:
        raise ValueError(
            f"the validation loss was finite in none of {state.epoch} epochs: lower learning_rate or clip"
            f" (learning_rate is {options.learning_rate}, clip {options.clip})"
        )
    _restore_best(state)
    return History(state.history, state.best["loss"].epoch, sum(row.seconds for row in state.history))


def count(model: nn.Module, examples: Examples, task: Task, batch_size: int = 64) -> Any:
    """Count over `examples` what the metrics are made of, each worker a part; the model stays in the mode it was in."""
    examples, was_training = on_device(model, examples), model.training
    model.eval()
    buckets = length_buckets([len(x) for x in examples.inputs], batch_size)
    with torch.no_grad():
        parts = [
            task.count(*_answers(model, chunk))
            for bucket in buckets
            for chunk in chunks(examples, bucket, 0, distributed.rank(), distributed.size())
        ]
    model.train(was_training)
    return distributed.total(reduce(add, parts), examples.inputs[0].device)


def evaluate(model: nn.Module, splits: Any, task: Task, split: str = "test") -> Scores:
    """Metrics of `model` on one split; what is left to be chosen, as a threshold, is chosen on the validation split."""
    choice = count(model, task.examples(splits, "valid"), task).choice()
    scores: Scores = count(model, task.examples(splits, split), task).scores(choice)
    return scores


def _adam(model: nn.Module, options: TrainingOptions) -> torch.optim.Adam:
    """Adam with L2, and a learning rate of its own for the memory."""
    groups = parameter_groups(model, options.learning_rate, options.memory_lr_scale)
    return torch.optim.Adam(groups, weight_decay=options.weight_decay)


def _average(model: nn.Module, options: TrainingOptions) -> AveragedModel | None:
    """Exponential running average of the weights, updated after every step."""
    if options.ema_decay == 0:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options.ema_decay))


def _train_epoch(
    model: nn.Module, state: TrainingState, examples: Examples, task: Task, options: TrainingOptions
) -> float:
    """One pass over the training set; returns its loss per answer. `model` is the state's, or all workers' as one."""
    model.train()
    summed = _Loss(0.0, 0)
    random = np.random.default_rng([options.seed, state.epoch])
    device = examples.inputs[0].device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(random.integers(2**62)) + distributed.rank())
        for bucket in shuffled_buckets(examples, options.batch_size, random):
            memory: Any = None
            for chunk in chunks(examples, bucket, options.truncate, distributed.rank(), distributed.size()):
                with _precision(device, options):
                    outputs, memory = model(chunk.values) if memory is None else model(chunk.values, _detached(memory))
                if chunk.answers == 0:
                    continue
                loss = task.loss(outputs[chunk.asked].float(), chunk.targets)
                state.optimizer.zero_grad()
                # The workers' mean is the loss per answer of them all, to which each adds the same penalty.
                (loss * distributed.size() / chunk.answers + _penalty(state.model, options)).backward()
                nn.utils.clip_grad_norm_(model.parameters(), options.clip)
                state.optimizer.step()
                if state.average is not None:
                    state.average.update_parameters(state.model)
                summed = _Loss(summed.value + loss.item(), summed.answers + len(chunk.targets))
    summed = distributed.total(summed, device)
    return summed.value / summed.answers


@dataclass(frozen=True)
class _Loss:
    value: float
    answers: int


def _penalty(model: nn.Module, options: TrainingOptions) -> Tensor | float:
    if options.orthogonality == 0:
        return 0.0
    memories = [weight for name, weight in model.named_parameters() if "weight_mm" in name]
    return options.orthogonality * sum(orthogonality_penalty(weight) for weight in memories)


def _precision(device: torch.device, options: TrainingOptions) -> torch.autocast:
    """Float32 throughout, or matrix products in bfloat16; parameters, loss and metrics are float32 either way."""
    return torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bfloat16")


def _detached(state: Any) -> Any:
    """State whose past is no longer differentiated."""
    return state.detach() if isinstance(state, Tensor) else type(state)(_detached(part) for part in state)


def _answers(model: nn.Module, chunk: Chunk) -> tuple[Tensor, Tensor]:
    """Model outputs and targets of the steps of a batch that are asked for an answer: (M, …) each."""
    return model(chunk.values)[0][chunk.asked], chunk.targets


def _restore_best(state: TrainingState) -> None:
    if state.best["loss"].weights:
        state.model.load_state_dict(state.best["loss"].weights)
