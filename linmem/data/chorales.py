"""`chorales`: Bach's four-part chorales, inside the package; tools/build_chorales.py built the file.

Letters: T quarter notes; column j of a piano roll is MIDI note 21 + j (A0..C8).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from linmem.data.downloads import require_checksum
from linmem.data.midi import LOWEST_NOTE, NOTES
from linmem.data.splits import SPLITS, Splits

FILE = Path(__file__).with_name("chorales.npz")
SHA256 = "f34273ad82cf2df79b3efe605a8264f545c2a363fb829b37d7f6a8d5accbeece"


def load_chorales(root: str | os.PathLike[str] | None = None) -> Splits:
    """The chorales as piano rolls at quarter-note steps, in C major or A minor; `root` is not used: they are here.

    Raises
    ------
    ValueError
        The file inside the package is missing or is not the one that was shipped.
    """
    remedy = "install linear-memory-networks again"
    if not FILE.exists():
        raise ValueError(f"{FILE} is missing: {remedy}")
    require_checksum(FILE, SHA256, remedy)
    with np.load(FILE, allow_pickle=False) as stored:
        rolls = torch.split(sounding(torch.from_numpy(stored["voices"])), stored["lengths"].tolist())
        split, titles = stored["split"].tolist(), stored["titles"].tolist()
        provenance = str(stored["provenance"])
    chosen = {name: [i for i, where in enumerate(split) if where == name] for name in SPLITS}
    return Splits(
        "chorales",
        **{name: [rolls[i].clone() for i in chosen[name]] for name in SPLITS},
        titles={name: [titles[i] for i in chosen[name]] for name in SPLITS},
        kind="piano_roll",
        provenance=provenance,
    )


def sounding(voices: torch.Tensor) -> torch.Tensor:
    """(T, 4) MIDI pitches, 0 for a rest, to the (T, 88) roll of 0 and 1."""
    column = voices.long() - LOWEST_NOTE
    roll = torch.zeros(len(voices), NOTES + 1)  # the last column takes the rests
    return roll.scatter_(1, torch.where(column < 0, NOTES, column), 1.0)[:, :NOTES].contiguous()
