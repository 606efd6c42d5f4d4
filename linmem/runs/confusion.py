"""The confusion matrix of a run on labelled sequences.

Symbols: c classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from linmem.data import LabelledSplits
from linmem.runs.directory import read_options
from linmem.runs.predict import predict


class Confusion(NamedTuple):
    """Sequences of each class (row) by predicted class (column)."""

    counts: np.ndarray  # (c, c) int64
    names: list[str]


def has_classes(folder: Path) -> bool:
    """Whether the sequences of a run have classes."""
    return isinstance(read_options(folder).load_data(), LabelledSplits)


def confusion(folder: Path, split: str = "test", best_by: str = "loss") -> Confusion | None:
    """Count the predictions of a run on one split; None where its sequences have no classes."""
    options = read_options(folder)
    splits = options.load_data()
    if not isinstance(splits, LabelledSplits):
        return None
    predictions = predict(folder, options.data, split, best_by)
    counts = np.zeros((splits.classes, splits.classes), np.int64)
    predicted = [int(values[-1].argmax()) for values in predictions.values]
    for true, one in zip(splits.labels[split].tolist(), predicted, strict=True):
        counts[true, one] += 1
    return Confusion(counts, predictions.classes)
