"""A loaded data set: three lists of sequences, with labels or targets where it has them, and its provenance.

Symbols: T_i steps of sequence i, a features, o outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from linmem.data.standardization import Standardization

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Splits:
    """A data set split into train, valid and test.

    Attributes
    ----------
    name : str
        The name it was loaded by; for a folder, the folder's name.
    train, valid, test : list of Tensor
        float32, (T_i, a) each; T_i differs between sequences, a is the same for all.
    titles : dict from "train", "valid", "test" to list of str
        One title per sequence, in the same order.
    kind : str
        "piano_roll" (0 or 1; column j of the first 88 is MIDI note 21 + j, A0 … C8) or "series" (real numbers).
    provenance : str
        Where the data come from, in one or two sentences.
    steps_per_quarter : int, optional
        Steps per quarter note of piano rolls.
    channels : tuple of str
        Names of the features, where the files give them.
    standardization : Standardization, optional
        Statistics of train that were applied to all sequences; None if the values are as stored.
    skipped : tuple of str
        Files that could not be read and were skipped (`skip_bad_files`), each with its reason.
    consecutive : bool
        Whether train, valid and test hold one sequence each, which follow one another: one series split in time.

    Examples
    --------
    >>> import linmem
    >>> chorales = linmem.data.load("chorales")
    >>> chorales.train[0].shape, chorales.kind, chorales.titles["train"][0]
    (torch.Size([80, 88]), 'piano_roll', 'bwv1.6')
    """

    name: str
    train: list[Tensor]
    valid: list[Tensor]
    test: list[Tensor]
    titles: dict[str, list[str]] = field(default_factory=dict)
    kind: str = "series"
    provenance: str = ""
    steps_per_quarter: int | None = field(default=None, kw_only=True)
    channels: tuple[str, ...] = field(default=(), kw_only=True)
    standardization: Standardization | None = field(default=None, kw_only=True)
    skipped: tuple[str, ...] = field(default=(), kw_only=True)
    consecutive: bool = field(default=False, kw_only=True)

    @property
    def features(self) -> int:
        """Number of columns of every sequence: a."""
        return next(x for part in (self.train, self.valid, self.test) for x in part).shape[1]

    def description(self) -> dict[str, Any]:
        """Return what later data of the same kind need, as JSON content: kind, channels, resolution, statistics."""
        statistics = self.standardization and {name: x.tolist() for name, x in self.standardization._asdict().items()}
        return {
            "kind": self.kind,
            "channels": list(self.channels),
            "steps_per_quarter": self.steps_per_quarter,
            "standardization": statistics,
        }

    def _sizes(self) -> str:
        return f"{self.kind}, {self.features} features"

    def __repr__(self) -> str:
        """Counts instead of values, which would fill the screen."""
        counts = ", ".join(
            f"{split} {len(values) if isinstance(values := getattr(self, split), list) else 'sealed'}"
            for split in SPLITS
        )
        return f"{type(self).__name__}({self.name!r}, {self._sizes()}; {counts})"


@dataclass(frozen=True, repr=False)
class LabelledSplits(Splits):
    """A data set whose sequences belong to classes.

    Attributes
    ----------
    labels : dict from "train", "valid", "test" to Tensor
        (n,) int64: the class of each sequence, in the same order.
    class_names : tuple of str
        Name of each class; empty where the numbers are the names.

    Examples
    --------
    >>> import linmem
    >>> digits = linmem.data.load("digits")
    >>> digits.train[0].shape, digits.labels["train"].shape, digits.classes
    (torch.Size([64, 1]), torch.Size([1079]), 10)
    """

    labels: dict[str, Tensor] = field(default_factory=dict)
    class_names: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def classes(self) -> int:
        """Number of classes; they are numbered from 0."""
        return len(self.class_names) or 1 + max(int(labels.max()) for labels in self.labels.values())

    def description(self) -> dict[str, Any]:
        """Return what later data need, with the names of the classes."""
        return super().description() | {"class_names": list(self.class_names)}

    def pairs(self, split: str) -> list[tuple[Tensor, Tensor]]:
        """Return each sequence with its class, an int64 number."""
        return list(zip(getattr(self, split), self.labels[split], strict=True))

    def _sizes(self) -> str:
        return f"{super()._sizes()}, {self.classes} classes"


@dataclass(frozen=True, repr=False)
class PairedSplits(Splits):
    """A data set of inputs with real-valued targets.

    Attributes
    ----------
    targets : dict from "train", "valid", "test" to list of Tensor
        float32, in the same order: (T_i, o) each, one target per step, or (o,) each, one target after the last step.

    Examples
    --------
    >>> import linmem
    >>> adding = linmem.data.load("adding:10:5:5")
    >>> adding.train[0].shape, adding.targets["train"][0].shape
    (torch.Size([100, 2]), torch.Size([1]))
    """

    targets: dict[str, list[Tensor]] = field(default_factory=dict)

    def pairs(self, split: str) -> list[tuple[Tensor, Tensor]]:
        """Return each sequence with its targets."""
        return list(zip(getattr(self, split), self.targets[split], strict=True))


def take(splits: Splits, counts: Mapping[str, int]) -> Splits:
    """Keep only the first sequences of some splits, with their titles, labels and targets.

    Parameters
    ----------
    splits : Splits
        The whole set.
    counts : mapping from split to int
        Number of sequences to keep; splits that are not named stay whole.

    Raises
    ------
    ValueError
        A count is below 1 or above the number of sequences.
    """
    for split, count in counts.items():
        size = len(getattr(splits, split))
        if not 1 <= count <= size:
            raise ValueError(
                f"{splits.name}: the number of {split} sequences must be from 1 to {size}, got {count}. Change it."
            )

    def cut(values: Mapping[str, Any]) -> dict[str, Any]:
        return {split: value[: counts[split]] if split in counts else value for split, value in values.items()}

    changed: dict[str, Any] = {split: getattr(splits, split)[:count] for split, count in counts.items()}
    for name in ("titles", "labels", "targets"):
        if hasattr(splits, name):
            changed[name] = cut(getattr(splits, name))
    return replace(splits, **changed)
