"""Train a solved-memory model: solve the memories, encode every sequence once, fit the readout on single steps.

Nothing is backpropagated through time. The readout is trained by gradient descent on shuffled steps ("mlp"), or solved
by ridge regression ("ridge"), whose penalty the validation loss selects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.solvers.memory_size import RankError
from linmem.nn.solved_memory import SolvedMemoryModel, check_lag_decays, features_as_inputs
from linmem.ridge import ridge_regression
from linmem.training.checkpoint import Epoch, TrainingState, best_weights, save
from linmem.training.loop import DivergenceError, History, count, train_on_examples
from linmem.training.options import TrainingOptions
from linmem.training.steps import Steps, steps_of
from linmem.training.tasks import Examples, Task
from linmem.training.transposition import Transposed, all_transpositions

PENALTIES = tuple(10.0**exponent for exponent in range(-6, 3))  # of the ridge regression


def solvable_memory_size(training: Examples, memory_size: int, lag_decays: Sequence[float], transpose: int = 0) -> int:
    """Return `memory_size`, or the lowest rank of the training inputs over `lag_decays` if that is lower."""
    for decay in lag_decays:
        try:
            _solve(training, memory_size, decay, 0, transpose)
        except RankError as error:
            return solvable_memory_size(training, error.rank, lag_decays, transpose)
    return memory_size


def _solve(training: Examples, memory_size: int, lag_decay: float, seed: int, transpose: int) -> LinearAutoencoder:
    sequences = all_transpositions(training, transpose).inputs if transpose else training.inputs
    autoencoder = LinearAutoencoder(memory_size, decoder="tied", refine=None, lag_decay=lag_decay, random_state=seed)
    return autoencoder.fit(sequences)


def solve_memory_(
    model: SolvedMemoryModel, training: Examples, lag_decays: Sequence[float], seed: int = 0, transpose: int = 0
) -> None:
    """Set the memories to the linear autoencoders of the training inputs, one per lag decay.

    Parameters
    ----------
    model : SolvedMemoryModel
        Changed in place.
    training : Examples
        Sequences (T_i, a).
    lag_decays : sequence of float
        γ, one per memory.
    seed : int
        Seed of the solver.
    transpose : int
        N: solve for every sequence at every transposition from −N to N semitones.

    Raises
    ------
    ValueError
        A lag decay is out of range, or the memory is larger than the rank of the data.
    """
    check_lag_decays(lag_decays)
    memory = model.recurrent
    for index, decay in enumerate(lag_decays):
        autoencoder = _solve(training, memory.memory_size, decay, seed, transpose)
        memory.set_memory(index, autoencoder.A_, autoencoder.B_, autoencoder.mean_)
    memory.scale.fill_(1.0)
    if model.is_joint:  # NADE reads the states as they are
        return
    features = steps_of(memory, training).inputs[:, memory.input_size :]
    rms = features.double().square().mean(0).sqrt().view_as(memory.scale)
    memory.scale.copy_(torch.where(rms > 0, rms, 1.0))


def train_solved(
    model: SolvedMemoryModel,
    task: Task,
    training: Examples,
    valid: Examples,
    options: TrainingOptions,
    *,
    lag_decays: Sequence[float],
    readout: str,
    checkpoint: Path,
    after_epoch: Callable[[TrainingState], None] | None = None,
    progress: bool = False,
) -> History:
    """Solve the memories, unless the checkpoint holds them, and fit the readout.

    Parameters
    ----------
    model : SolvedMemoryModel
    task : Task
    training, valid : Examples
        Sequences with their targets.
    options : TrainingOptions
        A batch has as many steps as `batch_size` sequences have on average.
    lag_decays : sequence of float
        γ, one per memory.
    readout : str
        "ridge" solves the readout; any other value trains it.
    checkpoint : Path
        File that is written after every epoch, or penalty.
    after_epoch, progress
        See `train`.

    Returns
    -------
    History
        One row per epoch; with "ridge", one row per penalty.
    """
    if checkpoint.exists():
        model.load_state_dict(best_weights(checkpoint))
    else:
        solve_memory_(model, training, lag_decays, options.seed, options.transpose)
    encode, valid_steps = partial(steps_of, model.recurrent), steps_of(model.recurrent, valid)
    per_sequence = sum(map(len, training.targets)) / len(training.inputs)
    with features_as_inputs(model):
        if readout == "ridge":
            steps = encode(all_transpositions(training, options.transpose) if options.transpose else training)
            return _solve_readout(model, task, steps, valid_steps, options, checkpoint, after_epoch)
        return train_on_examples(
            model,
            task,
            Transposed(training, options.transpose, encode) if options.transpose else encode(training),
            valid_steps,
            options,
            batch_size=max(1, round(options.batch_size * per_sequence)),
            checkpoint=checkpoint,
            after_epoch=after_epoch,
            progress=progress,
        )


def _solve_readout(
    model: SolvedMemoryModel,
    task: Task,
    training: Steps,
    valid: Steps,
    options: TrainingOptions,
    checkpoint: Path,
    after_epoch: Callable[[TrainingState], None] | None,
) -> History:
    """Ridge regression for every penalty; the one with the lowest validation loss counts."""
    state = TrainingState(model, torch.optim.Adam(model.parameters()))
    started, cpu_started = time.perf_counter(), time.process_time()
    targets = task.as_outputs(training.targets, model.readout.out_features)
    for affine in ridge_regression(training.inputs, targets, PENALTIES):
        with torch.no_grad():
            model.readout.weight.copy_(affine.W.T)
            model.readout.bias.copy_(affine.b)
        losses = [count(model, steps, task) for steps in (training, valid)]
        train_scores, valid_scores = (counts.scores(counts.choice()) for counts in losses)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
        row = Epoch(state.epoch + 1, train_scores.loss, valid_scores.loss, asdict(valid_scores), seconds, cpu_seconds)
        state.record(row)
        started, cpu_started = time.perf_counter(), time.process_time()
    if not state.best["loss"].epoch:
        raise DivergenceError("validation loss must be finite, got none for any ridge penalty.")
    model.load_state_dict(state.best["loss"].weights)
    save(state, asdict(options), checkpoint)
    if after_epoch:
        after_epoch(state)
    return History(state.history, state.best["loss"].epoch, sum(row.seconds for row in state.history))
