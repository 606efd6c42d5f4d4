"""Load the trained model of a run directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from linmem.autoencoder.autoencoder_file import FILE as AUTOENCODER
from linmem.runs.directory import TRAINED, load_run, read_options
from linmem.runs.fitted_estimator import load_estimator
from linmem.runs.options import ESTIMATOR


def load(run: str | Path, *, best_by: str = "loss", device: str | torch.device = "cpu") -> Any:
    """Load the trained model of a run directory: a network in evaluation mode, or a fitted estimator.

    Parameters
    ----------
    run : str or Path
        Run directory that `linmem train` or `linmem.runs.runner.run` wrote.
    best_by : str
        "loss" or "accuracy": the weights are those of the best epoch by this criterion on the validation split.
    device : str or torch.device
        Device of the weights.

    Returns
    -------
    Module or estimator
        A network is called as `outputs, state = model(x)` with x (B, T, a); outputs (B, T, o) are logits for notes and
        classes, and numbers in regression. With `readout="nade"` the outputs are a `linmem.nn.nade.FrameDistribution`.
        With `model="estimator"` it is the `MemoryClassifier`, `MemoryRegressor` or `MemoryForecaster`.

    Raises
    ------
    FileNotFoundError
        `run` is no run directory, or has no finished epoch.
    ValueError
        A file is damaged, the weights do not fit the options, or `best_by` is unknown.

    Notes
    -----
    The data set of the run is not read. Inputs are scaled as in training: `config.json` has the statistics of a
    standardized data set under "description".

    Examples
    --------
    >>> import linmem, tempfile, torch
    >>> from pathlib import Path
    >>> from linmem.nn.registry import ModelOptions
    >>> from linmem.runs.options import RunOptions
    >>> from linmem.runs.runner import run
    >>> from linmem.training.options import TrainingOptions
    >>> options = RunOptions("chorales:8:4", ModelOptions("lstm", 8), TrainingOptions(max_epochs=1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = run(options, Path(folder))  # what `linmem train` does
    ...     model = linmem.load(folder)
    >>> outputs, state = model(torch.zeros(1, 5, 88))
    >>> outputs.shape
    torch.Size([1, 5, 88])
    """
    path = Path(run) / AUTOENCODER
    if os.path.exists(path) and not any(map(os.path.exists, (Path(run) / name for name in TRAINED))):
        raise ValueError(
            f"run must be a folder of `linmem train`, got {run} of `linmem fit`. "
            f"Use LinearAutoencoder.load({str(path)!r})."
        )
    if read_options(Path(run)).model.model == ESTIMATOR:
        return load_estimator(Path(run))
    return load_run(Path(run), best_by)[1].to(device)
