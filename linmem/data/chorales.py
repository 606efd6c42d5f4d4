"""`chorales`: Bach's four-part chorales, shipped with the package; tools/build_chorales.py builds the file.

Symbols: T quarter notes, V voices; column j of a piano roll is MIDI note 21 + j (A0 … C8).
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
SHA256 = "8b04c74ac71d1cbf399abfc0da9d9f423dfac7039b54d409c36bb04ecaf6e089"


def load_chorales(root: str | os.PathLike[str] | None = None, *, onsets: bool = False) -> Splits:
    """Load the chorales as piano rolls at quarter-note steps, transposed to C major or A minor.

    Parameters
    ----------
    root : path, optional
        Not used: the file is in the package.
    onsets : bool
        Whether to append 88 columns that mark where each note begins, so that repeated notes stay separate.

    Raises
    ------
    ValueError
        The file in the package is missing or altered.

    Examples
    --------
    >>> load_chorales()
    Splits('chorales', piano_roll, 88 features; train 233, valid 78, test 78)
    >>> load_chorales(onsets=True)
    Splits('chorales', piano_roll, 176 features; train 233, valid 78, test 78)
    """
    remedy = "Install linear-memory-networks again."
    if not FILE.exists():
        raise ValueError(f"{FILE} must exist, got no such file. {remedy}")
    require_checksum(FILE, SHA256, remedy)
    with np.load(FILE, allow_pickle=False) as stored:
        voices = torch.from_numpy(stored["voices"])
        begins = torch.from_numpy(np.unpackbits(stored["onsets"], count=voices.numel())).view_as(voices)
        roll = torch.cat([roll_of(voices), roll_of(voices * begins)], 1) if onsets else roll_of(voices)
        rolls = torch.split(roll, stored["lengths"].tolist())
        split, titles = stored["split"].tolist(), stored["titles"].tolist()
        provenance = str(stored["provenance"])
    chosen = {name: [i for i, where in enumerate(split) if where == name] for name in SPLITS}
    train, valid, test = ([rolls[i].clone() for i in chosen[name]] for name in SPLITS)
    return Splits(
        "chorales",
        train,
        valid,
        test,
        titles={name: [titles[i] for i in chosen[name]] for name in SPLITS},
        kind="piano_roll",
        provenance=provenance,
        steps_per_quarter=1,
    )


def roll_of(voices: torch.Tensor) -> torch.Tensor:
    """Convert MIDI pitches to a piano roll.

    Parameters
    ----------
    voices : Tensor
        (T, V) pitches, 0 for a rest.

    Returns
    -------
    Tensor
        float32, (T, 88), of 0 and 1.

    Examples
    --------
    >>> roll_of(torch.tensor([[60, 64, 0]])).nonzero()[:, 1].tolist()
    [39, 43]
    """
    column = voices.long() - LOWEST_NOTE
    roll = torch.zeros(len(voices), NOTES + 1)  # the last column takes the rests
    return roll.scatter_(1, torch.where(column < 0, NOTES, column), 1.0)[:, :NOTES].contiguous()
