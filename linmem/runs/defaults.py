"""What `linmem train` chooses by the data where the user does not: model, size of an estimator, standardized inputs.

Model and standardized inputs are chosen for the user's own files. Labelled series are fitted by an estimator, solved
in closed form, unless an option of a network is given; `--model solved` with the readout ridge is that estimator, too.
The inputs of networks are standardized; piano rolls never are. Named data sets keep the defaults of their experiments.
An estimator has its own default size on all data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from linmem import data
from linmem.data import FolderOptions, LabelledSplits, PairedSplits, Splits
from linmem.nn.registry import ModelOptions
from linmem.runs.options import ESTIMATOR, SHARED, EstimatorOptions, PretrainingOptions
from linmem.training.options import TrainingOptions

FORECASTER, FEATURES = ("horizon", "season"), ("n_projections", "streaming")  # options of one kind of estimator
NETWORK = {f.name for group in (ModelOptions, TrainingOptions, PretrainingOptions) for f in fields(group)}


@dataclass(frozen=True)
class Chosen:
    """The options of a run, and its data set.

    Attributes
    ----------
    options : dict
        Those that the user gave and those that were chosen, by name.
    splits : Splits
        The data set, read with these options.
    reason : str
        One line on the choice of the model; empty where the user named it.
    """

    options: dict[str, Any]
    splits: Splits
    reason: str


def choose(name: str, given: Mapping[str, Any]) -> Chosen:
    """Load a data set and choose the options that were not given.

    Parameters
    ----------
    name : str
        Name of the set, folder or file.
    given : mapping
        Options by name.

    Raises
    ------
    ValueError
        The data cannot be read, an option is one of another kind of estimator, or the data have no estimator.
    """
    reading = {f.name: given[f.name] for f in fields(FolderOptions) if f.name in given}
    splits = data.load(name, **reading | {"standardize": False})
    options, reason = _without(given, "readout") if given.get("readout") == ModelOptions.readout else dict(given), ""
    if not data.is_set(name):
        options, reason = _choose_model(options, splits)
        if options.get("model") != ESTIMATOR and splits.kind != "piano_roll":
            options.setdefault("standardize", True)
    if options.get("model") == ESTIMATOR:
        _check_kind(options, _is_labelled(splits))
        options.setdefault("memory_size", _default_size(splits))
    return Chosen(options, data.standardized(splits) if options.get("standardize") else splits, reason)


def _choose_model(options: dict[str, Any], splits: Splits) -> tuple[dict[str, Any], str]:
    labelled, model, others = _is_labelled(splits), options.get("model"), options.keys() & NETWORK - set(SHARED)
    if model == "solved" and splits.kind != "piano_roll":
        default = "ridge" if labelled and not others - {"readout"} else "mlp"
        ridge = options.get("readout", default) == "ridge"
        return (_without(options, "readout") | {"model": ESTIMATOR}, "") if ridge else (options, "")
    if model is not None:
        return options, ""
    network = ModelOptions().model
    if not labelled:
        numeric = splits.kind != "piano_roll"
        return options, f"model: {network}, the default without labels; --model {ESTIMATOR} forecasts" * numeric
    if others:
        line = f"model: {network}, because {min(others)} is given; else labelled series train the model {ESTIMATOR}"
        return options | {"model": network}, line
    line = f"model: {ESTIMATOR}, the default for labelled series; --model lmn-b, lstm, … trains a network"
    return options | {"model": ESTIMATOR}, line


def _check_kind(options: Mapping[str, Any], labelled: bool) -> None:
    """Raise ValueError for an option of the estimators of labelled series where a forecaster is fitted, or reverse."""
    names, data = (FORECASTER, "labelled series") if labelled else (FEATURES, "series without labels")
    for name in names:
        if (value := options.get(name, default := getattr(EstimatorOptions, name))) != default:
            raise ValueError(f"{name} must not be given for {data}, got {value!r}. Omit it.")


def _default_size(splits: Splits) -> int:
    """The memory units of the estimator for a data set, which are fewer than those of a network."""
    from linmem.runs.fitted_estimator import kind_for  # imports scikit-learn

    return kind_for(splits)().memory_size


def _is_labelled(splits: Splits) -> bool:
    """Whether every sequence has a class or numbers, which an estimator can be fitted to."""
    if isinstance(splits, PairedSplits):
        return splits.targets["train"][0].dim() == 1
    return isinstance(splits, LabelledSplits)


def _without(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != name}
