"""The state of a training run: where it stands, what it has seen, the best weights so far; kept in one file.

The file holds the weights, Adam's moments, the best weights by each criterion, and (as JSON in its header) the history
and the options. It is replaced whole after every epoch, so a run that dies at any moment goes on from its last epoch.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from linmem.storage import tensor_file

FREE_TO_CHANGE = ("max_epochs", "patience")  # a longer run is the same run


@dataclass(frozen=True)
class Epoch:
    """One line of a history: epoch counted from 1, losses per answer, metrics by name, seconds without validation.

    `cpu_seconds` are those of this process, all threads together: comparable on a machine that others use too. None in
    runs that were kept before it was measured.
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
    """All that a run needs to go on."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None = None
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, Best] = field(default_factory=lambda: {"loss": Best(), "accuracy": Best()})

    @property
    def judged(self) -> nn.Module:
        """What is validated and kept: the running average of the weights where there is one, else the model."""
        return self.model if self.average is None else self.average.module

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    def finished(self, max_epochs: int, patience: int) -> bool:
        """Whether the epochs are used up, or the validation loss has not improved for `patience` of them."""
        return self.epoch >= max_epochs or self.epoch - self.best["loss"].epoch >= patience

    def record(self, epoch: Epoch) -> None:
        """Add an epoch, and keep its weights where it is the best by a criterion."""
        self.history.append(epoch)
        for name, value in (("loss", epoch.valid_loss), ("accuracy", -epoch.valid["accuracy"])):
            if value < self.best[name].value:
                weights = {key: tensor.detach().clone() for key, tensor in self.judged.state_dict().items()}
                self.best[name] = Best(epoch.epoch, value, weights)


def save(state: TrainingState, options: dict[str, Any], path: Path) -> None:
    """Keep the run, and the options it was run with, in `path`."""
    tensors = {f"model/{name}": tensor for name, tensor in state.model.state_dict().items()}
    if state.average is not None:
        tensors |= {f"average/{name}": tensor for name, tensor in state.average.state_dict().items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": tensor for name, tensor in moments.items()}
    for name, best in state.best.items():
        tensors |= {f"best/{name}/{key}": tensor for key, tensor in best.weights.items()}
    description = {
        "options": options,
        "history": [asdict(epoch) for epoch in state.history],
        "best": {name: {"epoch": best.epoch, "value": best.value} for name, best in state.best.items()},
    }
    tensor_file.write(path, tensors, description)


def resume(state: TrainingState, options: dict[str, Any], path: Path) -> None:
    """Fill a fresh `state`, and the model in it, with the run kept in `path`.

    Raises
    ------
    ValueError
        The file is damaged, belongs to another model, or to a run with other options.
    """
    tensors, description = tensor_file.read(path)
    for name, value in options.items():
        if name not in FREE_TO_CHANGE and value != description["options"][name]:
            raise ValueError(
                f"{path} was run with {name}={description['options'][name]}, now it is {value}:"
                " go on with the same options, or start anew elsewhere"
            )
    try:
        state.model.load_state_dict(_below("model/", tensors))
        if state.average is not None:
            state.average.load_state_dict(_below("average/", tensors))
    except RuntimeError as error:
        raise ValueError(f"{path} holds the weights of another model: {' '.join(str(error).split())}") from None
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _below("optimizer/", tensors).items():
        index, key = name.split("/")
        moments.setdefault(int(index), {})[key] = tensor
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    state.history = [Epoch(**row) for row in description["history"]]
    state.best = {
        name: Best(best["epoch"], best["value"], _below(f"best/{name}/", tensors))
        for name, best in description["best"].items()
    }


def epochs_kept(path: Path) -> list[Epoch]:
    """History of the run kept in `path`; empty where there is none.

    Raises
    ------
    ValueError
        The file is damaged.
    """
    return [Epoch(**row) for row in tensor_file.read(path)[1]["history"]] if path.exists() else []


def best_weights(path: Path, best_by: str = "loss") -> dict[str, Tensor]:
    """Weights of the best epoch by validation "loss" or "accuracy" of the run kept in `path`.

    Raises
    ------
    ValueError
        The file is damaged, or keeps no best epoch by that criterion.
    """
    tensors, description = tensor_file.read(path)
    if best_by not in description["best"]:
        raise ValueError(f"best_by is {best_by!r}: the known ones are {', '.join(description['best'])}")
    return _below(f"best/{best_by}/", tensors)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
