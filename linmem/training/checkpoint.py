"""Checkpoints: the complete state of a training run in one file.

The file holds the weights, Adam's moments, the best weights by each criterion, and (as JSON in its header) the history,
the options and the limits on the norms of LMN layers. It is replaced atomically after every epoch: a killed run resumes
after its last complete epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from linmem.nn.limited_parameters import fixed_limits, restore_limits
from linmem.nn.norm_limits import Norms
from linmem.storage import tensor_file
from linmem.storage.documents import check_object
from linmem.storage.parsing import parsing

_REMEDY = "Train again with --force."


@dataclass(frozen=True)
class Epoch:
    """One row of a history: epoch counted from 1, losses per target, metrics by name, seconds without validation.

    `cpu_seconds` is the CPU time of this process, all threads together; None in runs of versions that did not measure
    it.
    """

    epoch: int
    train_loss: float
    valid_loss: float
    valid: dict[str, float]
    seconds: float
    cpu_seconds: float | None = None


@dataclass
class Best:
    """The best epoch so far by one criterion (lower is better), and the weights at its end."""

    epoch: int = 0
    value: float = math.inf
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class TrainingState:
    """Everything that a run needs to resume."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None = None
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, Best] = field(default_factory=lambda: {"loss": Best(), "accuracy": Best()})

    @property
    def evaluated_model(self) -> nn.Module:
        """The model that is validated and saved: the average of the weights if there is one, else the model itself."""
        return self.model if self.average is None else self.average.module

    @property
    def epoch(self) -> int:
        """Number of completed epochs."""
        return len(self.history)

    def finished(self, max_epochs: int, patience: int) -> bool:
        """Whether `max_epochs` is reached, or the validation loss has not improved for `patience` epochs."""
        return self.epoch >= max_epochs or self.epoch - self.best["loss"].epoch >= patience

    def record(self, epoch: Epoch) -> None:
        """Add an epoch, and copy its weights if it is the best by a criterion."""
        self.history.append(epoch)
        for name, value in (("loss", epoch.valid_loss), ("accuracy", -epoch.valid["accuracy"])):
            if value < self.best[name].value:
                weights = {key: tensor.detach().clone() for key, tensor in self.evaluated_model.state_dict().items()}
                self.best[name] = Best(epoch.epoch, value, weights)


def save(state: TrainingState, options: dict[str, Any], path: Path) -> None:
    """Write the run and its options to `path`."""
    tensors = {f"model/{name}": tensor for name, tensor in state.model.state_dict().items()}
    if state.average is not None:
        tensors |= {f"average/{name}": tensor for name, tensor in state.average.state_dict().items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": tensor for name, tensor in moments.items()}
    for name, best in state.best.items():
        tensors |= {f"best/{name}/{key}": tensor for key, tensor in best.weights.items()}
    description = {
        "options": options,
        "history": [vars(epoch) for epoch in state.history],  # `asdict` copies: it took most of an epoch in long runs
        "best": {name: {"epoch": best.epoch, "value": best.value} for name, best in state.best.items()},
        "norm_limits": fixed_limits(state.model),
    }
    tensor_file.write(path, tensors, description)


def may_change(name: str, schedule: str) -> bool:
    """Whether an option may change when a run resumes; learning rates of other schedules depend on `max_epochs`."""
    return name == "patience" or (name == "max_epochs" and schedule == "constant")


def resume(state: TrainingState, options: dict[str, Any], path: Path) -> None:
    """Load the run in `path` into a new `state` and its model.

    Raises
    ------
    ValueError
        The file is damaged, or belongs to another model or to a run with other options.
    """
    tensors, description = tensor_file.read(path)
    before = check_object(description.get("options", {}), f"the options in {path}", _REMEDY)
    for name, value in options.items():
        if not may_change(name, options["schedule"]) and before.get(name, value) != value:
            raise ValueError(f"{name} must be {before[name]} as in {path}, got {value}. Resume with the same options.")
    try:
        state.model.load_state_dict(_select("model/", tensors))
        if state.average is not None:
            state.average.load_state_dict(_select("average/", tensors))
    except RuntimeError as error:
        raise ValueError(f"{path} must hold weights of this model, got others: {_first_line(error)}") from None
    with parsing(path, "a training state of this version", _REMEDY):
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _select("optimizer/", tensors).items():
            index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = tensor
        groups = state.optimizer.state_dict()["param_groups"]
        state.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        state.history = _history(path, description)
        state.best = {
            name: Best(int(description["best"][name]["epoch"]), float(description["best"][name]["value"]), weights)
            for name in state.best
            for weights in [_select(f"best/{name}/", tensors)]
        }
        restore_limits(state.model, _norm_limits(description))


def read_history(path: Path) -> list[Epoch]:
    """History of the run in `path`; empty if the file does not exist.

    Raises
    ------
    ValueError
        The file is damaged.
    """
    return _history(path, tensor_file.read(path)[1]) if path.exists() else []


def best_weights(path: Path, best_by: str = "loss") -> dict[str, Tensor]:
    """Weights of the best epoch by validation "loss" or "accuracy" of the run in `path`.

    Raises
    ------
    ValueError
        The file is damaged, or holds no best epoch by that criterion.
    """
    tensors, description = tensor_file.read(path)
    best = check_object(description.get("best", {}), f"best in {path}", _REMEDY)
    if best_by not in best:
        raise ValueError(f"best_by must be one of {', '.join(best) or 'none'} as in {path}, got {best_by!r}.")
    return _select(f"best/{best_by}/", tensors)


def _history(path: Path, description: dict[str, Any]) -> list[Epoch]:
    with parsing(path, "a file with a training history of this version", _REMEDY):
        history = [Epoch(**row) for row in description["history"]]
        for epoch in history:
            float(epoch.seconds), float(epoch.valid["accuracy"]), float(epoch.valid_loss)
        return history


def _norm_limits(description: dict[str, Any]) -> dict[str, dict[str, Norms]]:
    """Limits by layer and suffix; empty in files of versions that did not write them."""
    saved = description.get("norm_limits", {})
    limits = {name: {suffix: Norms(*map(float, one)) for suffix, one in layer.items()} for name, layer in saved.items()}
    for one in (value for layer in limits.values() for norms in layer.values() for value in norms):
        if not one > 0:
            raise ValueError(f"a norm limit of {one}")
    return limits


def _first_line(error: Exception) -> str:
    """The first difference that `load_state_dict` reports."""
    lines = [line.strip() for line in str(error).splitlines()]
    return (lines[1:] or lines)[0][:200]


def _select(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
