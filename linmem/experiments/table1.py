"""Table 1: what the four polyphonic sets are made of, and how much a copy of the last frame gets right. [L18, table 1.]

L18's own figures for this table were not at hand, so there is nothing to compare with but the sets' own: the counts of
sequences of the usual split [B12], and the accuracy of persistence, known to us from an independent implementation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from linmem import data
from linmem.data.splits import SPLITS
from linmem.reporting import tables
from linmem.runs.runner import baseline_scores
from linmem.training.metrics import FrameScores

TITLE = "Table 1: the data sets"
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "smoke": {"sets": ["chorales"]},
    "paper": {"sets": ["jsb_chorales", "muse_data", "nottingham", "piano_midi"]},
}
PERSISTENCE = {"jsb_chorales": 22.20, "muse_data": 38.21, "nottingham": 64.89, "piano_midi": 35.21}  # % on test


def run(config: Mapping[str, Any], seed: int, work: Path) -> Iterator[dict[str, Any]]:
    """Count every split of every set; nothing is drawn."""
    for name in config["sets"]:
        splits = data.load(name)
        for split in SPLITS:
            rolls = getattr(splits, split)
            lengths, frames = [len(roll) for roll in rolls], torch.cat(rolls)
            _, scores = baseline_scores(splits, split)
            assert isinstance(scores, FrameScores)
            yield {
                "set": name,
                "split": split,
                "sequences": len(rolls),
                "steps": sum(lengths),
                "shortest": min(lengths),
                "longest": max(lengths),
                "notes in use": int((frames.sum(0) > 0).sum()),
                "notes a frame": float(frames.sum(1).mean()),
                "persistence %": 100 * scores.accuracy,
                "persistence NLL": scores.nll,
            }


def show(lines: Sequence[dict[str, Any]], folder: Path) -> str:
    """One row a split; the known figure beside the measured one."""
    rows = [line | {"known %": PERSISTENCE.get(line["set"]) if line["split"] == "test" else None} for line in lines]
    return tables.markdown(rows, {"persistence NLL": 3})
