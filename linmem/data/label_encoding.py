"""Encoding of labels: class names as numbers, and numbers as regression targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from linmem.data.csv_file import is_number
from linmem.data.labels import LAYOUT


class Classes(NamedTuple):
    """Encoded class labels."""

    numbers: Tensor  # (n,) int64
    names: tuple[str, ...]


def encode_classes(names: Sequence[str], train: Sequence[int]) -> Classes:
    """Number the classes in alphabetical order, or in numerical order where all names are numbers.

    Names of equal numbers, such as "1" and "01", are different classes, in alphabetical order.

    Parameters
    ----------
    names : sequence of str
        Class of each sequence.
    train : sequence of int
        Indices of the training sequences.

    Raises
    ------
    ValueError
        There are fewer than two classes, or a class does not occur in train.

    Examples
    --------
    >>> encode_classes(["10", "2", "10"], train=[0, 1])
    Classes(numbers=tensor([1, 0, 1]), names=('2', '10'))
    """
    distinct = set(names)
    numeric = all(is_number(name) and not math.isnan(float(name)) for name in distinct)
    ordered = sorted(distinct, key=lambda name: (float(name) if numeric else 0.0, name))
    missing = distinct - {names[i] for i in train}
    if missing:
        raise ValueError(f"train must hold every class, got none of class {min(missing)!r}. Add or remove that class.")
    if len(ordered) < 2:
        raise ValueError(f"The labels must be of at least 2 classes, got only {ordered[0]!r}. {LAYOUT}.")
    numbers = {name: i for i, name in enumerate(ordered)}
    return Classes(torch.tensor([numbers[name] for name in names]), tuple(ordered))


def as_targets(values: Sequence[Sequence[str]], titles: Sequence[str]) -> list[Tensor]:
    """Convert numeric labels to float32 targets (o,), or raise ValueError where one is not finite."""
    targets = [torch.tensor([float(cell) for cell in label], dtype=torch.float32) for label in values]
    for target, title in zip(targets, titles, strict=True):
        if not torch.isfinite(target).all():
            raise ValueError(f"{title} must have a finite target, got {target.tolist()}. Change or remove it.")
    return targets
