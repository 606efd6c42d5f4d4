"""Gradient descent: Adam, gradient clipping, early stopping, and runs that resume after an interruption.

All randomness of an epoch (order, batches, transposition, dropout) is drawn from (seed, epoch) alone. A run therefore
resumes from the weights, Adam's moments and the number of epochs, and on a CPU ends with the same bits as an
uninterrupted run. Under `torchrun` each worker takes a part of every batch, and the result is that of one process
(`training.data_parallel`).

The loss is a mean over the targets of a batch, for music over frames; padding enters neither loss nor metrics.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from linmem.nn.baselines import RNNRBM, orthogonality_penalty
from linmem.nn.sequence_model import SequenceModel, parameter_groups
from linmem.storage.tensor_file import checked_path
from linmem.training import data_parallel
from linmem.training.batching import BatchChunk, chunks, on_device, ordered_buckets, shuffled_buckets
from linmem.training.checkpoint import Epoch, TrainingState, resume, save
from linmem.training.metrics import Scores
from linmem.training.options import TrainingOptions
from linmem.training.rbm_task import NextFrameRBM
from linmem.training.steps import Steps
from linmem.training.tasks import Examples, Task
from linmem.training.transposition import Transposed


class DivergenceError(RuntimeError):
    """The loss is no longer finite; the model has the best weights so far."""


@dataclass(frozen=True)
class History:
    """History of a training run: one row per epoch, and the best epoch by validation loss."""

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
    checkpoint: str | PathLike[str] | None = None,
    after_epoch: Callable[[TrainingState], None] | None = None,
    progress: bool = False,
) -> History:
    """Train `model`; it ends with the weights of the epoch with the lowest validation loss.

    Parameters
    ----------
    model : Module
        Called as `outputs, state = model(x)` on padded batches x (B, T, a); the state may be None.
    splits : Splits
        Has `train` and `valid`, lists of sequences that `task` understands.
    task : Task
        Defines inputs, targets, loss and metrics, e.g. `NextFrame()`.
    options : TrainingOptions, optional
    checkpoint : str or path, optional
        File that is written after every epoch. If it exists, the run resumes from it.
    after_epoch : callable, optional
        Called with the state after every epoch, for logging.
    progress : bool
        Show a progress bar on a terminal.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        The data do not fit the task, or the checkpoint belongs to another run.
    DivergenceError
        The training loss became infinite or NaN, or the validation loss was finite in no epoch.

    Examples
    --------
    >>> import torch, linmem
    >>> from linmem.nn.registry import ModelOptions, build_model
    >>> from linmem.training.options import TrainingOptions
    >>> from linmem.training.tasks import NextFrame
    >>> chorales = linmem.data.load("chorales:8:4")
    >>> model = build_model(ModelOptions("lmn-b", hidden_size=8, memory_size=8), 88, 88)
    >>> history = linmem.train(model, chorales, NextFrame(), TrainingOptions(max_epochs=2))
    >>> [epoch.epoch for epoch in history.epochs]
    [1, 2]
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
    for split in ("train", "valid"):
        if not hasattr(splits, split):
            raise TypeError(f"splits must have train and valid, like a Splits, got {type(splits).__name__}.")
    if not callable(getattr(task, "examples", None)):
        raise TypeError(f"task must be one of linmem.training.tasks, such as NextFrame(), got {type(task).__name__}.")
    if options is not None and not isinstance(options, TrainingOptions):
        raise TypeError(f"options must be TrainingOptions, got {type(options).__name__}.")
    training, valid = (task.examples(splits, split) for split in ("train", "valid"))
    return train_on_examples(
        model, task, training, valid, options, checkpoint=checkpoint, after_epoch=after_epoch, progress=progress
    )


def train_on_examples(
    model: nn.Module,
    task: Task,
    training: Examples | Steps | Transposed,
    valid: Examples | Steps,
    options: TrainingOptions | None = None,
    *,
    batch_size: int | None = None,
    checkpoint: str | PathLike[str] | None = None,
    after_epoch: Callable[[TrainingState], None] | None = None,
    progress: bool = False,
) -> History:
    """Train on sequences or single steps with their targets; `batch_size` replaces that of `options`. See `train`."""
    options = options or TrainingOptions()
    _check_compatible(model, options)
    if options.transpose and isinstance(training, Examples):
        training = Transposed(training, options.transpose)
    state = TrainingState(model, _adam(model, options), _average(model, options))
    file = None if checkpoint is None else checked_path(checkpoint, "checkpoint")
    if file and file.exists():
        resume(state, asdict(options), file)
    data_parallel.wait()  # all workers read the checkpoint before the first one writes it
    parallel = data_parallel.average_gradients(model)
    training, valid = on_device(training, model), on_device(valid, model)
    batch_size = batch_size or options.batch_size
    first = data_parallel.rank() == 0
    bar = tqdm(
        total=options.max_epochs, initial=state.epoch, unit="epoch", disable=None if progress and first else True
    )
    while not state.finished(options.max_epochs, options.patience):
        started, cpu_started = time.perf_counter(), time.process_time()
        train_loss = _train_epoch(parallel, state, training, task, options, batch_size)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
        if not math.isfinite(train_loss):
            _restore_best(state)
            raise DivergenceError(
                f"training loss must be finite, got {train_loss} in epoch {state.epoch + 1}. {_remedy(options)}"
            )
        counts = count(state.evaluated_model, valid, _for_evaluation(task, state.evaluated_model), batch_size)
        scores = counts.scores(counts.choice())
        state.record(Epoch(state.epoch + 1, train_loss, scores.loss, asdict(scores), seconds, cpu_seconds))
        if first and file:
            save(state, asdict(options), file)
        if first and after_epoch:
            after_epoch(state)
        bar.update()
        bar.set_postfix(valid_loss=f"{scores.loss:.4g}", best=f"{state.best['loss'].value:.4g}")
    bar.close()
    if not state.best["loss"].epoch:
        raise DivergenceError(f"validation loss must be finite, got none in {state.epoch} epochs. {_remedy(options)}")
    _restore_best(state)
    return History(state.history, state.best["loss"].epoch, sum(row.seconds for row in state.history))


def _check_compatible(model: nn.Module, options: TrainingOptions) -> None:
    if options.truncate and not isinstance(model, SequenceModel | RNNRBM):
        raise ValueError(
            f"truncate must be 0 for {type(model).__name__}, which has no state to carry on, got {options.truncate}."
        )
    if options.orthogonality and not _memory_matrices(model):
        raise ValueError(
            f"orthogonality must be 0 for a model without a matrix W_mm, got {options.orthogonality}. Set it to 0."
        )


def _for_evaluation(task: Task, model: nn.Module) -> Task:
    """The task with the weights that are evaluated, for a task that reads weights of the model."""
    return task.with_model(model) if isinstance(task, NextFrameRBM) and isinstance(model, RNNRBM) else task


def _remedy(options: TrainingOptions) -> str:
    return f"Lower learning_rate ({options.learning_rate}) or clip ({options.clip})."


def count(model: nn.Module, examples: Examples | Steps, task: Task, batch_size: int = 64) -> Any:
    """Sum the counts behind the metrics over `examples`, each worker a part; the model's mode is left unchanged."""
    examples, was_training = on_device(examples, model), model.training
    model.eval()
    buckets = ordered_buckets(examples, batch_size)
    with torch.no_grad():
        parts = [
            task.count(*_outputs_and_targets(model, chunk))
            for bucket in buckets
            for chunk in chunks(examples, bucket, 0, data_parallel.rank(), data_parallel.size())
        ]
    model.train(was_training)
    return data_parallel.sum_over_workers(reduce(add, parts), examples.inputs[0].device)


def evaluate(model: nn.Module, splits: Any, task: Task, split: str = "test") -> Scores:
    """Metrics of `model` on one split; a threshold is chosen on the validation split."""
    valid = task.examples(splits, "valid")
    return evaluate_on_examples(model, task, valid if split == "valid" else task.examples(splits, split), valid)


def evaluate_on_examples(model: nn.Module, task: Task, examples: Examples, valid: Examples) -> Scores:
    """Metrics of `model` on `examples`; a threshold is chosen on `valid`, which is counted once if it is the same."""
    counts = count(model, examples, task)
    chosen_on = counts if valid is examples else count(model, valid, task)
    scores: Scores = counts.scores(chosen_on.choice())
    return scores


def _adam(model: nn.Module, options: TrainingOptions) -> torch.optim.Adam:
    """Adam with L2, and a separate learning rate for the memory."""
    groups = parameter_groups(model, options.learning_rate, options.memory_lr_scale)
    return torch.optim.Adam(groups, weight_decay=options.weight_decay)


def _average(model: nn.Module, options: TrainingOptions) -> AveragedModel | None:
    """Exponential moving average of the weights, updated after every step."""
    if options.ema_decay == 0:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options.ema_decay))


def _train_epoch(
    model: nn.Module,
    state: TrainingState,
    examples: Examples | Steps | Transposed,
    task: Task,
    options: TrainingOptions,
    batch_size: int,
) -> float:
    """One pass over the training set; returns the loss per target. `model` averages the gradients of all workers."""
    model.train()
    total = _Loss(0.0, 0)
    random = np.random.default_rng([options.seed, state.epoch])
    if isinstance(examples, Transposed):
        examples = examples.draw(random)
    device = examples.inputs[0].device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(random.integers(2**62)) + data_parallel.rank())
        buckets = shuffled_buckets(examples, batch_size, random)
        for index, bucket in enumerate(buckets):
            _set_rate(state.optimizer, options, state.epoch * len(buckets) + index, len(buckets))
            memory: Any = None
            for chunk in chunks(examples, bucket, options.truncate, data_parallel.rank(), data_parallel.size()):
                with _precision(device, options):
                    outputs, memory = _call(model, chunk.values, memory)
                if chunk.num_targets == 0:
                    continue
                loss = task.loss(outputs[chunk.target_mask].float(), chunk.targets)
                state.optimizer.zero_grad()
                # The mean over workers is the loss per target of the whole batch; each worker adds the same penalty.
                (loss * data_parallel.size() / chunk.num_targets + _penalty(state.model, options)).backward()
                nn.utils.clip_grad_norm_(model.parameters(), options.clip)
                state.optimizer.step()
                if state.average is not None:
                    state.average.update_parameters(state.model)
                total += _Loss(loss.item(), len(chunk.targets))
    total = data_parallel.sum_over_workers(total, device)
    return total.value / total.targets


def _set_rate(optimizer: torch.optim.Optimizer, options: TrainingOptions, batch: int, per_epoch: int) -> None:
    """Set the learning rates of a batch, counted from 0 over all epochs, by the schedule."""
    factor = options.rate_factor(batch, options.max_epochs * per_epoch)
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor


@dataclass(frozen=True)
class _Loss:
    value: float
    targets: int

    def __add__(self, other: _Loss) -> _Loss:
        return _Loss(self.value + other.value, self.targets + other.targets)


def _penalty(model: nn.Module, options: TrainingOptions) -> Tensor | float:
    if options.orthogonality == 0:
        return 0.0
    return options.orthogonality * sum(map(orthogonality_penalty, _memory_matrices(model)))


def _memory_matrices(model: nn.Module) -> list[Tensor]:
    """W_mm of every linear memory; of one that is parametrized its value."""
    names = {
        module: (*dict(module.named_parameters(recurse=False)), *getattr(module, "parametrizations", ()))
        for module in model.modules()
    }
    return [getattr(module, name) for module, own in names.items() for name in own if name.startswith("weight_mm")]


def _precision(device: torch.device, options: TrainingOptions) -> torch.autocast:
    """Float32 throughout, or matrix products in bfloat16; parameters, loss and metrics are float32 either way."""
    return torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bfloat16")


def _detached(state: Any) -> Any:
    """Detach all tensors of a state."""
    return state.detach() if isinstance(state, Tensor) else type(state)(_detached(part) for part in state)


def _call(model: nn.Module, x: Tensor, state: Any = None) -> tuple[Any, Any]:
    """Outputs and state of a model, from a state without its past gradient if there is one."""
    result = model(x) if state is None else model(x, _detached(state))
    if not isinstance(result, tuple | list) or len(result) != 2:
        kind = type(result).__name__
        found = f"a {kind} of {len(result)}" if isinstance(result, tuple | list) else f"one {kind}"
        raise TypeError(
            f"model must return a pair (outputs, state), as torch.nn.LSTM does, got {found}. "
            "Return (outputs, None) from a model without state."
        )
    outputs, state = result
    return outputs, state


def _outputs_and_targets(model: nn.Module, chunk: BatchChunk) -> tuple[Tensor, Tensor]:
    """Model outputs at the steps that have a target, and these targets: (M, …) each."""
    return _call(model, chunk.values)[0][chunk.target_mask], chunk.targets


def _restore_best(state: TrainingState) -> None:
    if state.best["loss"].weights:
        state.model.load_state_dict(state.best["loss"].weights)
