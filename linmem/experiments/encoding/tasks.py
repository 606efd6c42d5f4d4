"""Tasks of the experiment `encoding`: synthetic ones of any size, drawn from a seed, and chorales. [E21.]

Each draw has a training and a validation split, and a test split unless that is sealed. Symbols: T steps, a inputs, o
outputs, h steps ahead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from linmem import data
from linmem.data import PairedSplits, Splits
from linmem.data.sealed import readable_splits, seal
from linmem.data.splits import SPLITS
from linmem.data.synthetic import Paired, adding, copy, generation, mackey_glass, warped_copy, waveform
from linmem.training.tasks import Classes, Examples, GivenFrames, GivenValues, Task, task_of

RANDOM_UNITS = 10  # between the inputs of `adding` and a linear memory
WASHOUT = 100  # steps of a Mackey-Glass series before the first target
Counts = tuple[int, int, int]  # sequences of train, valid and test


class Problem(NamedTuple):
    """Sequences and the task to solve on them."""

    splits: Splits
    task: Task
    linear_splits: Splits  # the inputs for a linear memory, which could not multiply
    waveform: Tensor | None = None  # (T, o): the one sequence to generate from an impulse


class LaterSteps:
    """A task with targets only after the first `skipped` steps of each sequence; shorter ones are left out."""

    def __init__(self, task: Task, skipped: int) -> None:
        self.task, self.skipped, self.title = task, skipped, task.title
        self.loss, self.count, self.as_outputs = task.loss, task.count, task.as_outputs
        self.output_size, self.constant, self.baseline = task.output_size, task.constant, task.baseline

    def examples(self, splits: Any, split: str) -> Examples:
        """Return the examples with their later targets."""
        inputs, targets = self.task.examples(splits, split)
        kept = [(x, y[self.skipped :]) for x, y in zip(inputs, targets, strict=True) if len(y) > self.skipped]
        return Examples([x for x, _ in kept], [y for _, y in kept])


@dataclass(frozen=True)
class Copy:
    """Repeat `length` symbols after `blanks` steps; warped: the symbols lie at random steps. Chance: 1 / symbols."""

    counts: Counts
    symbols: int
    length: int
    blanks: int
    warped: bool = False
    random: ClassVar[bool] = True

    def draw(self, name: str, seed: int) -> Problem:
        """Draw the task; only the steps of the answer have targets."""
        make = warped_copy if self.warped else copy
        sizes = {"symbols": self.symbols, "length": self.length, "blanks": self.blanks}
        splits = _paired(name, {s: make(n, seed=10 * seed + i, **sizes) for i, s, n in _each_split(self.counts)})
        return Problem(splits, LaterSteps(Classes(), self.length + self.blanks + 1), splits)


@dataclass(frozen=True)
class Adding:
    """The sum of two marked numbers, after the last step."""

    counts: Counts
    steps: int
    random: ClassVar[bool] = True

    def draw(self, name: str, seed: int) -> Problem:
        """Draw the task; a linear memory gets the inputs through random tanh units."""
        splits = _paired(
            name, {s: adding(n, seed=10 * seed + i, steps=self.steps) for i, s, n in _each_split(self.counts)}
        )
        return Problem(splits, GivenValues(), _random_features(splits, seed))


@dataclass(frozen=True)
class Generation:
    """Generate a waveform from an impulse at the first step and zeros after."""

    steps: int
    components: int
    longest: float
    random: ClassVar[bool] = True

    def draw(self, name: str, seed: int) -> Problem:
        """Draw the waveform; all splits are the same."""
        drawn = waveform(seed=seed, steps=self.steps, components=self.components, longest=self.longest)
        wave = generation(drawn).targets[0]
        impulse = torch.zeros(len(wave), 1)
        impulse[0] = 1
        splits = _paired(name, dict.fromkeys(readable_splits(), Paired([impulse], [wave])))
        return Problem(splits, GivenValues(), splits, wave)


@dataclass(frozen=True)
class MackeyGlass:
    """The value of a chaotic series `ahead` steps later, after a washout."""

    counts: Counts
    tau: int
    steps: int
    ahead: int
    random: ClassVar[bool] = True

    def draw(self, name: str, seed: int) -> Problem:
        """Draw series from different initial values, less the training split's mean."""
        first, drawn = 1000 * seed, {}
        for _, split, count in _each_split(self.counts):
            seeds = range(first, first + count)
            drawn[split] = [
                mackey_glass(self.steps + self.ahead, tau=self.tau, seed=s, washout=200).double() for s in seeds
            ]
            first += count
        mean = torch.cat(drawn["train"]).mean()
        pairs = {
            split: Paired(
                [(x[: -self.ahead] - mean).float() for x in series], [(x[self.ahead :] - mean).float() for x in series]
            )
            for split, series in drawn.items()
        }
        splits = _paired(name, pairs)
        return Problem(splits, LaterSteps(GivenValues(), WASHOUT), splits)


@dataclass(frozen=True)
class NextFrames:
    """The next frame of music."""

    data: str
    random: ClassVar[bool] = False

    def draw(self, name: str, seed: int) -> Problem:
        """Load the set; nothing is random."""
        loaded = data.load(self.data)
        return Problem(loaded, task_of(loaded), loaded)


@dataclass(frozen=True)
class FramesAgo:
    """The frame of music `back` steps ago."""

    data: str
    back: int
    random: ClassVar[bool] = False

    def draw(self, name: str, seed: int) -> Problem:
        """Load the set; nothing is random."""
        loaded = data.load(self.data)
        rolls = {split: getattr(loaded, split) for split in readable_splits()}
        pairs = {s: Paired(x, [pad(one, (0, 0, self.back, 0))[: len(one)] for one in x]) for s, x in rolls.items()}
        splits = _paired(name, pairs)
        return Problem(splits, LaterSteps(GivenFrames(), self.back), splits)


TaskConfig = Copy | Adding | Generation | MackeyGlass | NextFrames | FramesAgo


def _each_split(counts: Counts) -> list[tuple[int, str, int]]:
    """Return index, name and number of sequences of every split that can be read."""
    return [(i, split, count) for i, (split, count) in enumerate(zip(readable_splits(), counts, strict=False))]


def _random_features(splits: PairedSplits, seed: int) -> PairedSplits:
    """Return the inputs through random tanh units, as an untrained functional part would write them to a memory."""
    generator = torch.Generator().manual_seed(seed)
    W, b = (
        torch.randn(splits.features, RANDOM_UNITS, generator=generator),
        torch.randn(RANDOM_UNITS, generator=generator),
    )
    inputs: dict[str, Any] = {
        split: [torch.tanh(x @ W + b) for x in getattr(splits, split)] for split in readable_splits()
    }
    return replace(splits, **inputs)


def _paired(name: str, drawn: Mapping[str, Paired]) -> PairedSplits:
    train, valid, test = (drawn[split].inputs if split in drawn else [] for split in SPLITS)
    targets = {split: pairs.targets for split, pairs in drawn.items()}
    return cast(PairedSplits, seal(PairedSplits(name, train, valid, test, kind="series", targets=targets)))
