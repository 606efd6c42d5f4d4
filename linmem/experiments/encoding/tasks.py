"""What a memory is asked in the experiment `encoding`: made tasks of any size, drawn from a seed, and chorales. [E21.]

    copy, warped copy   symbols are to be said again after a wait; asked only while they are (chance: 1 / symbols)
    adding              the sum of two marked numbers, after the last step
    generation          a waveform from an impulse at the first step and silence after
    Mackey-Glass        the value some steps ahead, after a washout
    a music set         the next frame; with `back`, the frame so many steps ago

Each draw is a training, a validation and a test split. Letters: T steps, a inputs, o outputs, h steps ahead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch.nn.functional import pad

from linmem import data
from linmem.data import PairedSplits, Splits
from linmem.data.splits import SPLITS
from linmem.data.synthetic import Paired, adding, copy, generation, mackey_glass, warped_copy, waveform
from linmem.training.tasks import Classes, Examples, GivenFrames, GivenValues, Task, task_of

FUNCTIONAL = 10  # random units between the inputs of `adding` and a linear memory
WASHOUT = 100  # steps of a Mackey-Glass series before the first answer, those that start from no memory


class Question(NamedTuple):
    """Sequences, and what is asked of them."""

    splits: Splits
    task: Task
    lifted: Splits  # the same for a linear memory, which could not multiply


class Later:
    """A task that is asked only after the first `skipped` steps of each sequence; shorter ones are left out."""

    def __init__(self, task: Task, skipped: int) -> None:
        self.task, self.skipped = task, skipped
        self.loss, self.count, self.as_outputs = task.loss, task.count, task.as_outputs
        self.output_size, self.constant, self.baseline = task.output_size, task.constant, task.baseline

    def examples(self, splits: Any, split: str) -> Examples:
        """Keep the later targets."""
        inputs, targets = self.task.examples(splits, split)
        kept = [(x, y[self.skipped :]) for x, y in zip(inputs, targets, strict=True) if len(y) > self.skipped]
        return Examples([x for x, _ in kept], [y for _, y in kept])


def question(name: str, sizes: Mapping[str, Any], seed: int) -> Question:
    """Draw a made task, or load a music set; `sizes` are the task's own, `counts` the sequences of the splits.

    Raises
    ------
    ValueError
        Unknown name.
    """
    rest = {key: value for key, value in sizes.items() if key != "counts"}
    counts = dict(zip(SPLITS, sizes.get("counts", (1, 1, 1)), strict=True))
    if name in ("copy", "warped copy"):
        make = copy if name == "copy" else warped_copy
        drawn = {split: make(counts[split], seed=10 * seed + i, **rest) for i, split in enumerate(SPLITS)}
        splits = _paired(name, drawn)
        return Question(splits, Later(Classes(), rest["length"] + rest["blanks"] + 1), splits)
    if name == "adding":
        drawn = {split: adding(counts[split], seed=10 * seed + i, **rest) for i, split in enumerate(SPLITS)}
        splits = _paired(name, drawn)
        return Question(splits, GivenValues(), _lifted(splits, seed))
    if name == "generation":
        wave = generation(waveform(seed=seed, **rest)).targets[0]
        impulse = torch.zeros(len(wave), 1)
        impulse[0] = 1
        splits = _paired(name, dict.fromkeys(SPLITS, Paired([impulse], [wave])))
        return Question(splits, GivenValues(), splits)
    if name.startswith("Mackey-Glass"):
        return _series(name, counts, seed, **rest)
    if "back" in rest:
        return _recall(name, **rest)
    loaded = data.load(name)
    return Question(loaded, task_of(loaded), loaded)


def _series(name: str, counts: Mapping[str, int], seed: int, *, tau: int, steps: int, ahead: int) -> Question:
    """Series from different starting values, less the training split's mean: x_{t+h} from x_1 … x_t."""
    first, drawn = 1000 * seed, {}
    for split, count in counts.items():
        drawn[split] = [
            mackey_glass(steps + ahead, tau=tau, seed=s, washout=200).double() for s in range(first, first + count)
        ]
        first += count
    mean = torch.cat(drawn["train"]).mean()
    pairs = {
        split: Paired([(x[:-ahead] - mean).float() for x in series], [(x[ahead:] - mean).float() for x in series])
        for split, series in drawn.items()
    }
    splits = _paired(name, pairs)
    return Question(splits, Later(GivenValues(), WASHOUT), splits)


def _recall(name: str, *, music: str, back: int) -> Question:
    """At every step, the frame `back` steps ago."""
    loaded = data.load(music)
    pairs = {
        split: Paired(rolls, [pad(x, (0, 0, back, 0))[: len(x)] for x in rolls])
        for split, rolls in ((split, getattr(loaded, split)) for split in SPLITS)
    }
    splits = _paired(name, pairs)
    return Question(splits, Later(GivenFrames(), back), splits)


def _lifted(splits: PairedSplits, seed: int) -> PairedSplits:
    """Inputs through FUNCTIONAL random tanh units, as an untrained functional part would write them to a memory."""
    draw = torch.Generator().manual_seed(seed)
    W, b = torch.randn(splits.features, FUNCTIONAL, generator=draw), torch.randn(FUNCTIONAL, generator=draw)
    inputs: dict[str, Any] = {split: [torch.tanh(x @ W + b) for x in getattr(splits, split)] for split in SPLITS}
    return replace(splits, **inputs)


def _paired(name: str, drawn: Mapping[str, Paired]) -> PairedSplits:
    inputs: dict[str, Any] = {split: drawn[split].inputs for split in SPLITS}
    return PairedSplits(name, **inputs, kind="series", targets={split: drawn[split].targets for split in SPLITS})
