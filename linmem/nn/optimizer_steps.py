"""Calls before and after the steps of all optimizers that hold parameters of an LMN layer.

torch has hooks for all optimizers at once. They are registered with the first layer, and look at layers that are alive
only: an optimizer without parameters of a layer is left alone. Layers are held by weak references.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection
from typing import Any, Protocol

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook


class StepListener(Protocol):
    """What is called before and after the steps of optimizers, with the ids of the parameters that one holds."""

    def before_optimizer_step(self, held: Collection[int]) -> None:
        """Note the parameters before an optimizer changes them."""

    def after_optimizer_step(self, held: Collection[int]) -> None:
        """Correct the parameters that an optimizer has changed."""

    def corrected(self, held: Collection[int]) -> None:
        """Note the parameters, when all listeners, which may share some, have corrected them."""


_listeners: weakref.WeakValueDictionary[int, StepListener] = weakref.WeakValueDictionary()
_hooks: list[Any] = []


def listen_to_steps(listener: StepListener) -> None:
    """Call `listener` around the steps of optimizers, as long as it lives."""
    if not _hooks:
        _hooks.extend([register_optimizer_step_pre_hook(_before), register_optimizer_step_post_hook(_after)])
    _listeners[id(listener)] = listener


@torch.no_grad()
def _before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    for listener, held in _notified(optimizer):
        listener.before_optimizer_step(held)


@torch.no_grad()
def _after(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    notified = _notified(optimizer)
    for listener, held in notified:
        listener.after_optimizer_step(held)
    for listener, held in notified:
        listener.corrected(held)


def _notified(optimizer: torch.optim.Optimizer) -> list[tuple[StepListener, Collection[int]]]:
    """The listeners that are alive; the list of references is a copy, which other threads do not change."""
    listeners = [listener for one in _listeners.valuerefs() if (listener := one()) is not None]
    if not listeners:
        return []
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return [(listener, held) for listener in listeners]
