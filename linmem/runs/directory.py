"""A run is a folder: what was asked, what happened, what came of it.

    config.json             options, sizes, versions, commit
    unfolded.safetensors    state of the pretraining's unfolded network, where there is one
    pretraining.json        its epochs and seconds
    state.safetensors       state after the last epoch, with the best weights by validation loss and by accuracy
    history.jsonl           a line an epoch
    scores.json             metrics on the validation split, persistence first

Nothing is overwritten unless it is asked for, and then only these files.
"""

from __future__ import annotations

import json
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import nn

from linmem.nn.registry import ModelOptions, build_model
from linmem.storage.atomic import write_json
from linmem.training.checkpoint import FREE_TO_CHANGE, best_weights
from linmem.training.loop import TrainingOptions

CONFIG, STATE, HISTORY, SCORES = "config.json", "state.safetensors", "history.jsonl", "scores.json"
UNFOLDED, PRETRAINING = "unfolded.safetensors", "pretraining.json"
FILES = (CONFIG, UNFOLDED, PRETRAINING, STATE, HISTORY, SCORES)
TRAINED = (STATE, UNFOLDED)


@dataclass(frozen=True)
class PretrainingOptions:
    """How to begin.

    Parameters
    ----------
    pretrain : str
        none; unfolded: L18's three steps, for lmn-b; inputs: from the autoencoder of the inputs, for rnn [P14] and for
        lmn-b and lmn-detach with hidden_size = memory_size [S20].
    pretrain_epochs : int
        Epochs of the unfolded network at most.
    pretrain_learning_rate : float
        Adam's step for the unfolded network.
    unfolded_nonlinearity : str
        Of the unfolded network: tanh, relu, selu or identity; selu is the paper's.
    memory_decay : float
        What an unfolded network's hidden state still counts in the memory after one step; 1 is the paper's.
    output_bias_init : str
        Initial bias of the readout: marginal, the constant output that fits the training set best, or default,
        PyTorch's.
    """

    pretrain: str = "none"
    pretrain_epochs: int = 60
    pretrain_learning_rate: float = 1e-3
    unfolded_nonlinearity: str = "selu"
    memory_decay: float = 1.0
    output_bias_init: str = "marginal"


@dataclass(frozen=True)
class RunOptions:
    """What a run is: a data set or folder, a model, how to begin and how to train."""

    data: str
    model: ModelOptions = field(default_factory=ModelOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    pretraining: PretrainingOptions = field(default_factory=PretrainingOptions)


def check_going_on(folder: Path, options: RunOptions) -> None:
    """Check that `options` are those of the run in `folder`, but for how long it goes on; nothing is written.

    Raises
    ------
    ValueError
        An option differs from what the run was started with.
    """
    if not (folder / CONFIG).exists():
        return
    before, now = _flat(read_options(folder)), _flat(options)
    for name, value in now.items():
        if name not in FREE_TO_CHANGE and value != before[name]:
            raise ValueError(
                f"{folder} was run with {name}={before[name]}, now it is {value}: --resume goes on with the same"
            )


def claim(folder: Path, *, resume: bool, force: bool) -> None:
    """Make `folder` ready for a run. It holds one already as soon as something was trained in it.

    Raises
    ------
    FileExistsError
        `folder` holds a run, and neither `resume` nor `force` was given.
    """
    held = [name for name in TRAINED if (folder / name).exists()]
    if held and not resume:
        if not force:
            raise FileExistsError(
                f"{folder} already holds a run ({held[0]}): --resume goes on with it, --force replaces it"
            )
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)


def write_config(folder: Path, options: RunOptions, input_size: int, output_size: int) -> None:
    """Note what was asked, and by which versions."""
    write_json(
        folder / CONFIG,
        asdict(options) | {"input_size": input_size, "output_size": output_size} | provenance(),
    )


def provenance() -> dict[str, Any]:
    """By what a result was made: versions, commit, machine, threads."""
    return {
        "versions": _versions(),
        "commit": _commit(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }


def read_options(folder: Path) -> RunOptions:
    """Read the options of the run in `folder`."""
    config = _read_config(folder)
    try:
        return RunOptions(
            config["data"],
            ModelOptions(**config["model"]),
            TrainingOptions(**config["training"]),
            PretrainingOptions(**config["pretraining"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / CONFIG} is damaged or of another version ({error}): train again") from None


def load_run(folder: Path, best_by: str = "loss") -> tuple[RunOptions, nn.Module]:
    """Options and model of a run, the model with the weights of its best epoch by validation "loss" or "accuracy".

    Raises
    ------
    FileNotFoundError
        `folder` holds no run, or one without a finished epoch.
    """
    options, config = read_options(folder), _read_config(folder)
    if not (folder / STATE).exists():
        raise FileNotFoundError(f"{folder} holds a run without a finished epoch: go on with it (--resume)")
    model = build_model(options.model, config["input_size"], config["output_size"])
    model.load_state_dict(best_weights(folder / STATE, best_by))
    return options, model.eval()


def _flat(options: RunOptions) -> dict[str, Any]:
    groups = asdict(options)
    return {"data": groups.pop("data")} | {name: value for group in groups.values() for name, value in group.items()}


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no run (no {CONFIG}): name a folder that `linmem train` wrote")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}): train again with --force") from None


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {
        "linmem": version("linear-memory-networks"),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }


def _commit() -> str | None:
    """Commit of the checkout that this package runs from, if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
