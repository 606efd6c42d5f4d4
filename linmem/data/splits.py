"""What every data set is, once loaded: three lists of sequences and where they came from.

Letters: T_i steps of sequence i, a features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Splits:
    """A data set cut into train, valid and test.

    Attributes
    ----------
    name : str
        The name it was loaded by; for a folder, the folder's name.
    train, valid, test : list of Tensor
        float32, (T_i, a) each; T_i differs from sequence to sequence, a is one number for the whole set.
    titles : dict from "train", "valid", "test" to list of str
        One title a sequence, in the same order.
    kind : str
        "piano_roll" (0 or 1 in 88 columns; column j is MIDI note 21 + j, A0..C8) or "series" (any real numbers).
    provenance : str
        Where the data came from, in one or two sentences.
    """

    name: str
    train: list[Tensor]
    valid: list[Tensor]
    test: list[Tensor]
    titles: dict[str, list[str]] = field(default_factory=dict)
    kind: str = "series"
    provenance: str = ""

    @property
    def features(self) -> int:
        """Columns of every sequence: a."""
        return self.train[0].shape[1]

    def __repr__(self) -> str:
        """Counts, not numbers: a data set printed whole would fill the screen."""
        counts = ", ".join(f"{split} {len(getattr(self, split))}" for split in SPLITS)
        return f"Splits({self.name!r}, {self.kind}, {self.features} features; {counts})"


@dataclass(frozen=True, repr=False)
class LabelledSplits(Splits):
    """A data set whose sequences belong to classes.

    Attributes
    ----------
    labels : dict from "train", "valid", "test" to Tensor
        (n,) int64: the class of each sequence, in the same order.
    """

    labels: dict[str, Tensor] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """How many classes there are; they are numbered from 0."""
        return 1 + max(int(labels.max()) for labels in self.labels.values())

    def pairs(self, split: str) -> list[tuple[Tensor, Tensor]]:
        """Each sequence with its class, an int64 number."""
        return list(zip(getattr(self, split), self.labels[split], strict=True))


@dataclass(frozen=True, repr=False)
class PairedSplits(Splits):
    """A data set whose sequences are questions, with the answers beside them.

    Attributes
    ----------
    targets : dict from "train", "valid", "test" to list of Tensor
        float32, in the same order: (T_i, o) each, an answer a step, or (o,) each, one answer after the last step.
    """

    targets: dict[str, list[Tensor]] = field(default_factory=dict)

    def pairs(self, split: str) -> list[tuple[Tensor, Tensor]]:
        """Each sequence with its answer."""
        return list(zip(getattr(self, split), self.targets[split], strict=True))


def first(splits: Splits, counts: Mapping[str, int]) -> Splits:
    """The first so many sequences of the splits that `counts` names, with their titles, labels and targets.

    Raises
    ------
    ValueError
        A count is below 1 or above what is there.
    """
    for split, count in counts.items():
        if not 1 <= count <= len(getattr(splits, split)):
            there = len(getattr(splits, split))
            raise ValueError(f"{count} sequences of {splits.name}'s {split} split were asked for: it has 1 to {there}")

    def cut(beside: Mapping[str, Any]) -> dict[str, Any]:
        return {split: kept[: counts[split]] if split in counts else kept for split, kept in beside.items()}

    changed: dict[str, Any] = {split: getattr(splits, split)[:count] for split, count in counts.items()}
    for name in ("titles", "labels", "targets"):
        if hasattr(splits, name):
            changed[name] = cut(getattr(splits, name))
    return replace(splits, **changed)
