"""Table 1: size of the four polyphonic sets, and the frame accuracy of a copy of the last frame. [L18, table 1.]

L18 gives the number of pieces and the longest piece of each set. The accuracy of persistence is compared with figures
of an independent implementation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from linmem import data
from linmem.data.splits import SPLITS
from linmem.experiments.harness.reads_of_test import read_test
from linmem.experiments.harness.summarize import Result, Results, group_by
from linmem.experiments.harness.targets import Target
from linmem.reporting import tables
from linmem.runs.runner import baseline_scores
from linmem.training.metrics import FrameScores

TITLE = "Table 1: the data sets"


@dataclass(frozen=True)
class Config:
    """Data sets to count."""

    sets: tuple[str, ...]


GRIDS = {
    "smoke": Config(("chorales",)),
    "paper": Config(("jsb_chorales", "muse_data", "nottingham", "piano_midi")),
}
PERSISTENCE = {"jsb_chorales": 22.20, "muse_data": 38.21, "nottingham": 64.89, "piano_midi": 35.21}  # % on test
COLUMNS = {
    "set": "set",
    "split": "split",
    "sequences": "sequences",
    "steps": "steps",
    "shortest": "shortest",
    "longest": "longest",
    "notes_in_use": "notes in use",
    "notes_per_frame": "notes per frame",
    "persistence_accuracy": "persistence %",
}
PUBLISHED = {  # pieces, longest piece in frames [L18, table 1]
    "jsb_chorales": (382, 160),
    "muse_data": (783, 4273),
    "nottingham": (1037, 1793),
    "piano_midi": (124, 3857),
}


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """Count every split of every set; nothing is random."""
    for name in config.sets:
        for split in SPLITS:
            if split == "test":
                yield read_test(partial(count, name, split), model="persistence", data=name)
            else:
                yield count(name, split)


def count(name: str, split: str) -> Result:
    """Count a split of a data set, and evaluate persistence on it."""
    splits = data.load(name)
    rolls = getattr(splits, split)
    lengths, frames = [len(roll) for roll in rolls], torch.cat(rolls)
    _, scores = baseline_scores(splits, split)
    assert isinstance(scores, FrameScores)
    return {
        "set": name,
        "split": split,
        "sequences": len(rolls),
        "steps": sum(lengths),
        "shortest": min(lengths),
        "longest": max(lengths),
        "notes_in_use": int((frames.sum(0) > 0).sum()),
        "notes_per_frame": float(frames.sum(1).mean()),
        "persistence_accuracy": 100 * scores.accuracy,
        "persistence_nll": scores.nll,
    }


def show(results: Results, folder: Path) -> str:
    """One row per split; the independent accuracy beside the measured one."""
    rows = [
        {header: one[key] for key, header in COLUMNS.items()}
        | {"independent %": PERSISTENCE.get(one["set"]) if one["split"] == "test" else None}
        | {"persistence NLL": one["persistence_nll"]}
        for one in results
    ]
    return tables.markdown(rows, {"persistence NLL": 3})


def targets(results: Results) -> list[Target]:
    """The sets are those of L18, and persistence agrees with the independent implementation."""
    sets = group_by(results, "set")
    found = []
    for name, published in PUBLISHED.items():
        splits = sets.get(name, [])
        counted = (sum(one["sequences"] for one in splits), max((one["longest"] for one in splits), default=0))
        complete = len(splits) == len(SPLITS)
        statement = f"{name}: pieces and longest piece (frames) are those of L18's table 1"
        measured = f"{counted[0]}, {counted[1]}" if complete else "–"
        expected = f"{published[0]}, {published[1]}"
        found.append(Target(statement, expected, measured, counted == published if complete else None))
    accuracies = {one["set"]: one["persistence_accuracy"] for one in results if one["split"] == "test"}
    known = {name: accuracies[name] for name in PERSISTENCE if name in accuracies}
    found.append(
        Target(
            "Persistence on test agrees with an independent implementation, %",
            ", ".join(f"{value:.2f}" for value in PERSISTENCE.values()),
            ", ".join(f"{value:.2f}" for value in known.values()) or "–",
            all(abs(value - PERSISTENCE[name]) < 0.0051 for name, value in known.items())
            if len(known) == len(PERSISTENCE)
            else None,
        )
    )
    return found
