"""Runs of an estimator instead of a network: which one fits the data, its fit, its predictions and its scores.

Labelled sequences have a `MemoryClassifier`, sequences with numbers a `MemoryRegressor`, other series a
`MemoryForecaster`. A forecaster of one series that is split in time is fitted to train, measured on valid, and then
fitted again to train and valid.

Symbols: T steps, a features, o outputs.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from linmem.data import LabelledSplits, PairedSplits, Splits
from linmem.data.splits import SPLITS
from linmem.estimators.classifier import MemoryClassifier
from linmem.estimators.forecaster import MemoryForecaster
from linmem.estimators.memory_parameters import check_memory_parameters
from linmem.estimators.regressor import MemoryRegressor
from linmem.estimators.saving import load_any
from linmem.estimators.step_size import running_step_size
from linmem.estimators.views import CAUSAL
from linmem.nn.registry import ModelOptions
from linmem.runs.directory import FITTED
from linmem.runs.options import ESTIMATOR, SHARED, PretrainingOptions, RunOptions
from linmem.training.metrics import ClassScores, Scores, count_values
from linmem.training.options import TrainingOptions
from linmem.training.prepared import PreparedTask

Estimator: TypeAlias = MemoryClassifier | MemoryRegressor | MemoryForecaster


def build(options: RunOptions, splits: Splits) -> Estimator:
    """The estimator for a data set, not fitted.

    Raises
    ------
    ValueError
        An option has no meaning for an estimator, there is none for the data, or it could not be fitted to them: what
        can be known before the fit is refused here, before a run directory is changed.
    """
    _check_options(options)
    model, own, kind = options.model, options.estimator, kind_for(splits)
    size: dict[str, Any] = {"memory_size": model.memory_size}
    if issubclass(kind, MemoryForecaster):
        size |= {"lag_decays": model.lag_decay} if model.lag_decay else {}
        if not all((x > 0).all() for split in SPLITS for x in getattr(splits, split)):
            size["log"] = False  # a model of log x could not read all splits
        forecaster = MemoryForecaster(own.horizon, "auto" if own.season is None else own.season, **size)
        forecaster.read(_arrays(splits.train))
        return forecaster
    size |= {"decays": model.lag_decay} if model.lag_decay else {}
    size |= {"views": list(CAUSAL)} if own.streaming else {}
    estimator: Estimator = kind(**size, n_projections=own.n_projections, random_state=options.training.seed)
    check_memory_parameters(estimator)
    if isinstance(splits, LabelledSplits) and len(names := set(names_of(splits, "train").tolist())) < 2:
        raise ValueError(f"the training split must have at least 2 classes, got {', '.join(map(str, names))} alone.")
    if len(splits.train) < 2:
        raise ValueError(f"the training split must have at least 2 series, got {len(splits.train)}. Add series.")
    return estimator


def kind_for(splits: Splits) -> type[Estimator]:
    """The class of the estimator for a data set.

    Raises
    ------
    ValueError
        There is none: targets are one per step, or the data are piano rolls.
    """
    if isinstance(splits, PairedSplits) and splits.targets["train"][0].dim() > 1:
        raise ValueError("targets of an estimator must be one per sequence, got one per step. Train a network.")
    if isinstance(splits, LabelledSplits | PairedSplits):
        return MemoryClassifier if isinstance(splits, LabelledSplits) else MemoryRegressor
    if splits.kind == "piano_roll":
        raise ValueError("data must be labelled or numeric series for an estimator, got piano rolls. Train a network.")
    return MemoryForecaster


def fit(estimator: Any, splits: Splits, *, valid: bool = False) -> Estimator:
    """Fit to the training split; with `valid`, to train and valid, which one series split in time must hold."""
    train: Any = _arrays(splits.train)
    if isinstance(splits, LabelledSplits):
        fitted = estimator.fit(train, names_of(splits, "train"))
    elif isinstance(splits, PairedSplits):
        targets = np.stack([y.numpy() for y in splits.targets["train"]])
        fitted = estimator.fit(train, targets[:, 0] if targets.shape[1] == 1 else targets)
    else:
        steps = [*train, *(_arrays(splits.valid) if valid else [])]
        fitted = estimator.fit(np.concatenate(steps) if splits.consecutive else train)
    found: Estimator = fitted
    return found


def load_estimator(folder: Path) -> Any:
    """The fitted estimator of a run.

    Raises
    ------
    FileNotFoundError
        The run was not finished.
    """
    if not (folder / FITTED).exists():
        raise FileNotFoundError(f"{folder} must hold a finished run, got one without {FITTED}. Train again.")
    return load_any(folder / FITTED)


def check_features(estimator: Estimator, splits: Splits, folder: Path) -> None:
    """Raise ValueError where the sequences have other features than those of the fit."""
    if splits.features != estimator.n_features_in_:
        expected = f"{estimator.n_features_in_} features as in {folder}"
        raise ValueError(f"{splits.name} must have {expected}, got {splits.features}.")


def outputs(estimator: Estimator, splits: Splits, split: str, *, every_step: bool = False) -> list[np.ndarray]:
    """Decision values (1, c) or numbers (1, o) per sequence, or the forecasts (T − k, a) of a series' last steps.

    With `every_step`, decision values or numbers (T, o) after every step; an estimator of whole series has none.
    """
    sequences = _arrays(getattr(splits, split))
    if isinstance(estimator, MemoryForecaster):
        return [_next_values(estimator, x, _before(splits, split)) for x in sequences]
    if every_step:
        if set(estimator.features_.views_.names) - set(CAUSAL):
            raise ValueError(
                "every_step must be False for an estimator that reads whole series. Train with --streaming."
            )
        return [_after_every_step(estimator, x) for x in sequences]
    if isinstance(estimator, MemoryRegressor):
        return [np.atleast_1d(y)[None] for y in estimator.predict(sequences)]
    values = estimator.decision_function(sequences)
    values = np.stack([-values, values], 1) if values.ndim == 1 else values
    return [y[None] for y in values]


def scores(estimator: Estimator, prepared: PreparedTask, split: str) -> Scores:
    """Metrics on the targets of the task; a step that a forecaster has too few values for is the last value."""
    splits, examples = prepared.splits, prepared.examples(split)
    if isinstance(estimator, MemoryClassifier):
        correct = estimator.predict(_arrays(getattr(splits, split))) == names_of(splits, split)
        return ClassScores(float(correct.mean()), None, len(correct))
    predicted = [torch.from_numpy(y) for y in outputs(estimator, splits, split)]
    if isinstance(estimator, MemoryForecaster):
        predicted = [
            torch.cat([x[: len(x) - len(y[:-1])].double(), y[:-1]])
            for x, y in zip(examples.inputs, predicted, strict=True)
        ]
    return count_values(torch.cat(predicted), torch.cat(examples.targets)).scores(None)


def names_of(splits: LabelledSplits, split: str) -> np.ndarray:
    """The labels of a split: names of classes, or their numbers where they have none."""
    numbers = splits.labels[split].numpy()
    return np.array(splits.class_names)[numbers] if splits.class_names else numbers


def size(estimator: Estimator) -> int:
    """Number of weights that were solved for: of the linear map to the outputs."""
    if isinstance(estimator, MemoryForecaster):
        return int(estimator.model_.dynamics.W.size + estimator.model_.dynamics.b.size)
    return int(sum(part.size for part in estimator.map_.coefficients) + estimator.map_.intercept.size)


def _after_every_step(estimator: MemoryClassifier | MemoryRegressor, series: np.ndarray) -> np.ndarray:
    estimator.reset()
    return np.stack([np.atleast_1d(estimator.update(x_t)) for x_t in series])


def _next_values(estimator: MemoryForecaster, series: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Forecasts (T − k, a) of the step after each step of a series, k the steps that the model needs at first.

    They are those of `predict(1, series=…)` with the steps so far, which decide the unit of one of several series.
    """
    known, model, typical = np.concatenate([before, series]), estimator.model_, estimator.typical_step_size_
    first = max(len(before), sum(model.lags))
    if first >= len(known):
        return np.zeros((0, series.shape[1]))
    origins = np.arange(first, len(known))
    if typical is None:
        values: np.ndarray = model.inverse_transform(model.forecast(known, origins, 1)[:, 0])
        return values
    units = running_step_size(known)[origins]
    return model.forecast_in_units(known, origins, np.where(np.isnan(units), typical, units))


def _before(splits: Splits, split: str) -> np.ndarray:
    """The steps before a split of a series split in time, (T, a); none for other data."""
    earlier = SPLITS[: SPLITS.index(split)] if splits.consecutive else ()
    return np.concatenate(
        [np.zeros((0, splits.features)), *(x for part in earlier for x in _arrays(getattr(splits, part)))]
    )


def _arrays(sequences: list[Tensor]) -> list[np.ndarray]:
    return [x.double().numpy() for x in sequences]


def _check_options(options: RunOptions) -> None:
    groups: tuple[tuple[Any, Any], ...] = (
        (options.model, ModelOptions(ESTIMATOR)),
        (options.training, TrainingOptions()),
        (options.pretraining, PretrainingOptions()),
    )
    for group, defaults in groups:
        for name in (field.name for field in fields(group) if field.name not in SHARED):
            if getattr(group, name) != getattr(defaults, name):
                raise ValueError(
                    f"{name} must not be given for the model estimator, got {getattr(group, name)!r}. Omit it."
                )
    if options.files.standardize:
        raise ValueError(
            "standardize must be False for the model estimator, which scales its inputs, got True. Omit it."
        )
