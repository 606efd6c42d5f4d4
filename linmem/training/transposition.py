"""Transposition, an augmentation of piano rolls: all notes of a training piece move by the same number of semitones.

A shift s moves column n of a roll to column n + s. Only shifts that keep all notes of the piece within the roll are
used, so no note is lost and rhythm and intervals stay as they are. In a roll of 176 columns, 88 held notes and their
onsets, each half keeps its own: the onset of a held note may lie before a piece that was cut.

Symbols: T steps, a notes, N the largest shift.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from linmem.nn.registry import COLUMNS_WITH_ONSETS
from linmem.training.batching import on_device
from linmem.training.steps import Steps
from linmem.training.tasks import Examples


class Shifts(NamedTuple):
    """The semitones by which a piece can move, from `lowest` to `highest`; 0 is among them."""

    lowest: int
    highest: int


def possible_shifts(rolls: list[Tensor], semitones: int) -> Shifts:
    """Shifts from −N to N that keep the notes of all `rolls`, (T_i, a) each, in the range 0 … a − 1, or in its halves.

    Examples
    --------
    >>> possible_shifts([torch.tensor([[0.0, 1.0, 1.0, 0.0, 0.0, 0.0]])], 5)
    Shifts(lowest=-1, highest=3)
    """
    columns = rolls[0].shape[1]
    notes = columns // 2 if columns == COLUMNS_WITH_ONSETS else columns
    active = torch.stack([(roll != 0).any(0) for roll in rolls]).any(0).nonzero().flatten() % notes
    if not len(active):
        return Shifts(0, 0)
    return Shifts(max(-semitones, -int(active.min())), min(semitones, notes - 1 - int(active.max())))


def transpose(roll: Tensor, shift: int) -> Tensor:
    """Move all notes of a roll (T, a) by `shift` semitones.

    Raises
    ------
    ValueError
        A note leaves the roll.

    Examples
    --------
    >>> transpose(torch.tensor([[0.0, 1.0, 0.0]]), -1)
    tensor([[1., 0., 0.]])
    """
    lowest, highest = possible_shifts([roll], roll.shape[1])
    if shift and not lowest <= shift <= highest:
        raise ValueError(f"shift must be from {lowest} to {highest} to keep all notes in the roll, got {shift}.")
    return torch.roll(roll, shift, 1)


def all_transpositions(examples: Examples, semitones: int) -> Examples:
    """Every piece at every possible shift from −N to N: at most 2 N + 1 copies, as they are first.

    Raises
    ------
    ValueError
        The examples are not piano rolls.
    """
    check_piano_rolls(examples, semitones)
    inputs, targets = list(examples.inputs), list(examples.targets)
    for x, y in zip(examples.inputs, examples.targets, strict=True):
        lowest, highest = possible_shifts([x, y], semitones)
        for shift in range(lowest, highest + 1):
            if shift:
                inputs.append(torch.roll(x, shift, 1))
                targets.append(torch.roll(y, shift, 1))
    return Examples(inputs, targets)


def randomly_transposed(examples: Examples, semitones: int, random: np.random.Generator) -> Examples:
    """Every piece at one random shift, all possible shifts from −N to N being equally likely."""
    inputs, targets = [], []
    for x, y in zip(examples.inputs, examples.targets, strict=True):
        lowest, highest = possible_shifts([x, y], semitones)
        shift = int(random.integers(lowest, highest + 1))
        inputs.append(torch.roll(x, shift, 1))
        targets.append(torch.roll(y, shift, 1))
    return Examples(inputs, targets)


def for_fits(examples: Examples, semitones: int, seed: int) -> Examples:
    """Every piece as it is and, if `semitones` is above 0, at one random shift as well, for fits in closed form.

    Examples
    --------
    >>> rolls = [torch.eye(4)[1:3]]
    >>> len(for_fits(Examples(rolls, rolls), 0, 0).inputs), len(for_fits(Examples(rolls, rolls), 2, 0).inputs)
    (1, 2)
    """
    if not semitones:
        return examples
    check_piano_rolls(examples, semitones)
    moved = randomly_transposed(examples, semitones, np.random.default_rng(seed))
    return Examples([*examples.inputs, *moved.inputs], [*examples.targets, *moved.targets])


@dataclass(frozen=True)
class Transposed:
    """Training examples that are transposed at random, anew in every epoch.

    Parameters
    ----------
    examples : Examples
        Piano rolls and the frames that follow them.
    semitones : int
        N.
    encode : callable, optional
        Turns the transposed examples into single steps, for models with fixed memories.

    Raises
    ------
    ValueError
        The examples are not piano rolls.
    """

    examples: Examples
    semitones: int
    encode: Callable[[Examples], Steps] | None = None

    def __post_init__(self) -> None:
        check_piano_rolls(self.examples, self.semitones)

    def draw(self, random: np.random.Generator) -> Examples | Steps:
        """The examples of one epoch."""
        drawn = randomly_transposed(self.examples, self.semitones, random)
        return drawn if self.encode is None else self.encode(drawn)


@on_device.register
def _(examples: Transposed, model: nn.Module) -> Transposed:
    return replace(examples, examples=on_device(examples.examples, model))


def check_piano_rolls(examples: Examples, transpose: int) -> None:
    """Check that inputs and targets are piano rolls of the same range.

    Raises
    ------
    ValueError
        An entry is neither 0 nor 1, or inputs and targets differ in range.
    """
    for x, y in zip(examples.inputs, examples.targets, strict=True):
        same_range = x.dim() == y.dim() == 2 and x.shape[1] == y.shape[1]
        if not same_range or not all(((roll == 0) | (roll == 1)).all() for roll in (x, y)):
            raise ValueError(
                f"transpose must be 0 for data that are not piano rolls, got {transpose}. Omit the option."
            )
