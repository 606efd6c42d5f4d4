"""The search of the fair protocol: the same random options for every model, and sizes by the same numbers of weights.

A trial draws one value for every axis, by Optuna's random sampler and one seed. Every model gets the trial's values on
the axes that it has; the others do not apply to it. The axis of the size is a number of weights, and a model gets the
largest size within it, so that small LSTMs are tried as often as small LMNs. The rows of LIMITED are the same trials
with limits on the norms of the recurrent weights, the default of `linmem.LMN` but not of `linmem train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from linmem.nn.options import ModelOptions
from linmem.nn.registry import build_model
from linmem.nn.sequence_model import parameter_count
from linmem.nn.solved_memory import SolvedMemoryModel
from linmem.runs.options import PretrainingOptions, RunOptions
from linmem.training.options import TrainingOptions

NOTES = 88
ROWS = ("RNN", "GRU", "LSTM", "LMN-A", "LMN-B", "pret-LMN-B", "LMN-B, diagonal", "solved")
LIMITED = {f"{row}, limited norms": row for row in ("LMN-A", "LMN-B", "pret-LMN-B")}  # control: the row without limits
MODELS = dict(zip(ROWS, ("rnn", "gru", "lstm", "lmn-a", "lmn-b", "lmn-b", "lmn-diagonal", "solved"), strict=True))
LARGEST_UNITS = 2000
AXES: Mapping[str, tuple[Any, ...]] = {
    "learning_rate": (5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2),
    "weights": (12_500, 25_000, 50_000, 100_000, 200_000, 400_000),
    "memory_ratio": (0.5, 1.0, 2.0),  # p / f of an LMN, and of a solved memory and its readout
    "input_dropout": (0.0, 0.1, 0.2, 0.3),
    "readout_dropout": (0.0, 0.2, 0.4, 0.6),
    "weight_decay": (0.0, 1e-6, 1e-5, 1e-4),
    "skip_connection": (False, True),
    "transpose": (0, 5),
    "nonlinearity": ("tanh", "relu"),  # of an RNN and of LMNs
    "forget_bias": (0.0, 1.0),  # of an LSTM
    "memory_lr_scale": (0.1, 1.0),  # of W_mm
    "lag_decay": (0.5, 0.7, 0.9, 1.0),  # of the autoencoder of a pretrained LMN-B and of a solved memory
}


@dataclass(frozen=True)
class Search:
    """A data set, the number of trials per model, seeds of the chosen options, and what all models share.

    With `rungs` the trials are halved (`choose.search_by_halving`): numbers of epochs after which the best quarter of
    every model's trials goes on. Without seeds the chosen runs are shown on valid, and test is not read.
    """

    data: str
    trials: int
    seeds: int
    max_epochs: int
    patience: int = 10
    pretrain_epochs: int = 25
    truncate: int = 0
    batch_size: int = 16
    weights: tuple[int, ...] = AXES["weights"]
    rows: tuple[str, ...] = ROWS
    rungs: tuple[int, ...] = ()


def draw_trials(search: Search, seed: int) -> list[dict[str, Any]]:
    """Draw the values of every trial, at random from AXES."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    axes = {**AXES, "weights": search.weights}
    distributions = {name: optuna.distributions.CategoricalDistribution(values) for name, values in axes.items()}
    return [study.ask(distributions).params for _ in range(search.trials)]  # type: ignore[arg-type]


def plan_runs(search: Search, seed: int) -> dict[str, list[RunOptions]]:
    """Return the trials of every model, in the same order."""
    drawn = draw_trials(search, seed)
    return {row: [run_options(row, values, search, seed) for values in drawn] for row in search.rows}


def run_options(row: str, values: Mapping[str, Any], search: Search, seed: int) -> RunOptions:
    """Return the run of a model with the values of a trial, on the axes that the model has."""
    if row in LIMITED:
        without = run_options(LIMITED[row], values, search, seed)
        return replace(without, model=replace(without.model, limit_norms=True))
    shared = {name: values[name] for name in ("input_dropout", "readout_dropout")}
    options = replace(ModelOptions(MODELS[row]), lags=4, **shared)
    if row in ("RNN", "LMN-A", "LMN-B", "pret-LMN-B", "LMN-B, diagonal"):
        options = replace(options, nonlinearity=values["nonlinearity"])
    if row == "LSTM":
        options = replace(options, forget_bias=values["forget_bias"])
    if row in ("pret-LMN-B", "solved"):
        options = replace(options, lag_decay=(values["lag_decay"],))
    if row != "solved":  # which has a skip connection always
        options = replace(options, skip_connection=values["skip_connection"])
    bare = ModelOptions(options.model, lag_decay=options.lag_decay, skip_connection=options.skip_connection)
    size = largest(bare, values["weights"], values["memory_ratio"])
    options = replace(options, hidden_size=size.hidden_size, memory_size=size.memory_size)
    training = TrainingOptions(
        values["learning_rate"],
        search.batch_size,
        search.max_epochs,
        search.patience,
        clip=0.25,
        weight_decay=values["weight_decay"],
        memory_lr_scale=values["memory_lr_scale"] if "LMN" in row else TrainingOptions.memory_lr_scale,
        ema_decay=0.98,
        truncate=search.truncate,
        transpose=values["transpose"],
        seed=seed,
    )
    pretraining = PretrainingOptions(output_bias_init="marginal")
    if row == "pret-LMN-B":
        nonlinearity = values["nonlinearity"]
        pretraining = PretrainingOptions(
            "unfolded", search.pretrain_epochs, unfolded_nonlinearity=nonlinearity, output_bias_init="default"
        )
    return RunOptions(search.data, options, training, pretraining)


@cache
def largest(options: ModelOptions, weights: int, ratio: float) -> ModelOptions:
    """Return the largest model with at most so many weights, biases and solved matrices included, and p / f = `ratio`.

    Raises
    ------
    ValueError
        A model of one unit has more weights.
    """

    def sized(units: int) -> ModelOptions:
        return replace(options, hidden_size=units, memory_size=max(1, round(ratio * units)))

    low, high = 0, LARGEST_UNITS
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if weight_count(sized(middle)) <= weights else (low, middle - 1)
    if low == 0:
        raise ValueError(f"weights must be enough for a {options.model} of one unit, got {weights}. Raise weights.")
    return sized(low)


def weight_count(options: ModelOptions) -> int:
    """Return the number of trained weights of a model of piano rolls, and of solved ones where it has them."""
    import torch

    with torch.device("meta"):
        model = build_model(options, NOTES, NOTES)
    buffers = dict(model.named_buffers()) if isinstance(model, SolvedMemoryModel) else {}
    solved = sum(matrix.numel() for name, matrix in buffers.items() if name.endswith((".A", ".B")))
    return parameter_count(model) + solved
