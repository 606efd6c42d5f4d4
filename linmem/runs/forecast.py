"""Forecasts of a run, or of a saved forecaster: the next values of a numeric series, with prediction intervals.

A network predicts the next step; predictions are fed back. Its intervals come from forecasts of the validation split
from many origins; those of a `MemoryForecaster` from its own validation.

Symbols: T steps, a features, H steps ahead, n origins.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from linmem import data
from linmem.data import Splits, Standardization
from linmem.data.splits import SPLITS
from linmem.estimators.forecaster import MemoryForecaster
from linmem.estimators.intervals import conformal_widths
from linmem.estimators.saving import load_any
from linmem.nn.sequence_model import SequenceModel
from linmem.runs.directory import load_run, read_options
from linmem.runs.fitted_estimator import load_estimator
from linmem.runs.options import ESTIMATOR
from linmem.runs.predict import read_described_config, task_name

MAX_ORIGINS = 100  # per validation sequence, evenly spaced
FIRST_ORIGIN = 0.25  # share of a validation sequence before its first origin, where it continues no other


class Forecast(NamedTuple):
    """The next values of one series, and bounds that hold each with the chosen probability; NaN where unknown."""

    channels: list[str]  # a names
    known: np.ndarray  # (T, a)
    values: np.ndarray  # (H, a)
    lower: np.ndarray  # (H, a)
    upper: np.ndarray  # (H, a)


def forecast(
    run: Path,
    steps: int,
    *,
    name: str | None = None,
    split: str = "test",
    index: int = 0,
    coverage: float = 0.9,
    best_by: str = "loss",
) -> Forecast:
    """Continue a series.

    Parameters
    ----------
    run : Path
        Run directory of a model of numeric series, or a file that `MemoryForecaster.save` wrote.
    steps : int
        H.
    name : str, optional
        Data set, folder or file with the series, read with the options of the run; by default the run's own data.
    split, index : str, int
        The series, where it is not a single series split in time: that is continued after its last step.
    coverage : float
        Probability that a bound holds.
    best_by : str
        Weights of the best epoch by loss or by accuracy.

    Raises
    ------
    ValueError
        The run has no numeric series to continue, an argument is out of range, or a saved forecaster has read steps
        after its fitted series.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}.")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
    if run.is_file():
        return _saved_forecast(run, steps, name, split, index, coverage)
    options, config = read_options(run), read_described_config(run)
    if (task := task_name(options, config)) != "NextValue":
        hint = "Use `linmem generate`." if task in ("NextFrame", "Recall") else "Use `linmem predict`."
        raise ValueError(f"run must predict the next step of numeric series, got one for {task}. {hint}")
    own = options.load_data()
    given = own if name is None else data.load(name, **asdict(options.files) | {"standardize": False})
    if given.features != config["input_size"]:
        raise ValueError(f"{name} must have {config['input_size']} features as in {run}, got {given.features}.")
    if options.model.model == ESTIMATOR:
        return _continue(load_estimator(run), given, series_of(given, split, index), steps, coverage)
    model, scale = load_run(run, best_by)[1], Standardization.of(config["description"])
    series = series_of(given, split, index)
    if name is not None and scale:
        series = scale.apply(series)
    values = _network_forecast(model, series, steps)
    widths = torch.from_numpy(conformal_widths(network_errors(model, own, steps), coverage)).float()
    parts = (series, values, values - widths, values + widths)
    return Forecast(_channels(given), *((scale.invert(x) if scale else x).double().numpy() for x in parts))


def series_of(splits: Splits, split: str, index: int) -> Tensor:
    """The whole of a series split in time, or one sequence (T, a) of a split."""
    if splits.consecutive:
        if index != 0:
            raise ValueError(f"series must be 0 for a single series split in time, got {index}.")
        return torch.cat([*splits.train, *splits.valid, *splits.test])
    sequences: list[Tensor] = getattr(splits, split)
    if not 0 <= index < len(sequences):
        raise ValueError(f"series must be from 0 to {len(sequences) - 1} in the split {split!r}, got {index}.")
    return sequences[index]


@torch.no_grad()
def network_errors(model: nn.Module, splits: Splits, steps: int) -> np.ndarray:
    """Errors (n, H, a) of forecasts of the validation sequences from many origins; NaN after the end."""
    rows = []
    for valid in splits.valid:
        before = torch.cat(splits.train) if splits.consecutive else valid[:0]
        known = torch.cat([before, valid])
        first = len(before) or max(1, int(FIRST_ORIGIN * len(valid)))
        origins = np.unique(np.linspace(first, len(known) - 1, min(MAX_ORIGINS, len(known) - first)).astype(int))
        state, position = None, 0
        for origin in origins.tolist():
            outputs, state = _advance(model, known[position:origin], state)
            target = torch.full((steps, known.shape[1]), torch.nan)
            target[: len(known) - origin] = known[origin : origin + steps]
            rows.append(target - _feed_back(model, outputs[-1:], state, steps))
            position = origin
    return torch.stack(rows).double().numpy()


def _advance(model: nn.Module, x: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Outputs (T, a) of known steps (T, a), and the state after them: all steps, for a network that has no state."""
    if not isinstance(model, SequenceModel):
        known = x if state is None else torch.cat([state, x])
        return model(known[None])[0][0, -len(x) :], known
    outputs, state = model(x[None]) if state is None else model(x[None], state)
    return outputs[0], state


def _feed_back(model: nn.Module, following: Tensor, state: Any, steps: int) -> Tensor:
    """Forecasts (H, a) from the prediction (1, a) of the next step and the state before it."""
    values = [following]
    for _ in range(steps - 1):
        following, state = _advance(model, following, state)
        values.append(following)
    return torch.cat(values)


@torch.no_grad()
def _network_forecast(model: nn.Module, series: Tensor, steps: int) -> Tensor:
    outputs, state = _advance(model, series, None)
    return _feed_back(model, outputs[-1:], state, steps)


def _saved_forecast(file: Path, steps: int, name: str | None, split: str, index: int, coverage: float) -> Forecast:
    forecaster = load_any(file)
    if not isinstance(forecaster, MemoryForecaster):
        raise ValueError(f"{file} must hold a MemoryForecaster, got a {type(forecaster).__name__}.")
    if name is not None:
        splits = data.load(name)
        return _continue(forecaster, splits, series_of(splits, split, index), steps, coverage)
    if not np.array_equal(forecaster.predict(1), forecaster.reset().predict(1)):
        raise ValueError(
            f"{file} must hold a forecaster at the end of its fitted series, got one that has read further steps, "
            "which are not in the file. Give the whole series (--data FILE), or call predict in Python."
        )
    if not 0 <= index < len(forecaster.series_):
        raise ValueError(f"series must be from 0 to {len(forecaster.series_) - 1}, got {index}.")
    return _continue(forecaster, None, torch.from_numpy(forecaster.series_[index]), steps, coverage)


def _continue(
    forecaster: MemoryForecaster, splits: Splits | None, series: Tensor, steps: int, coverage: float
) -> Forecast:
    known = series.double().numpy()
    given = known if forecaster.layout == "tc" else known.T
    values, (lower, upper) = (
        forecaster.predict(steps, series=given),
        forecaster.predict_interval(steps, coverage, series=given),
    )
    parts = (values, lower, upper) if forecaster.layout == "tc" else (values.T, lower.T, upper.T)
    names = _channels(splits) if splits else [f"channel_{i}" for i in range(known.shape[1])]
    return Forecast(names, known, *parts)


def _channels(splits: Splits) -> list[str]:
    return list(splits.channels) or [f"channel_{i}" for i in range(splits.features)]
