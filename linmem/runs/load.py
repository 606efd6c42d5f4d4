"""Load the trained model of a run directory."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from linmem.runs.directory import load_run


def load(run: str | Path, *, best_by: str = "loss", device: str | torch.device = "cpu") -> nn.Module:
    """Load the trained model of a run directory, in evaluation mode.

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
    Module
        Called as `outputs, state = model(x)` with x (B, T, a); outputs (B, T, o) are logits for notes and classes, and
        numbers in regression. With `readout="nade"` the outputs are a `linmem.nn.nade.FrameDistribution`.

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
    ::

        model = linmem.load("runs/chorales-lmn-b-seed0")
        chorale = linmem.data.load("chorales").test[0]
        with torch.no_grad():
            outputs, state = model(chorale[None])
    """
    return load_run(Path(run), best_by)[1].to(device)
