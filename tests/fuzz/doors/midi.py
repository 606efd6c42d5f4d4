"""MIDI files as piano rolls."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import torch

from tests.fuzz.doors.folders import check_splits, use_folder
from tests.fuzz.mutations import choose, mutated_bytes
from tests.fuzz.oracle import Door

VALID: list[bytes] = []


def prepare() -> None:
    """Write valid files with linmem's own writer."""
    from linmem.data.midi import write_midi

    folder = Path(tempfile.mkdtemp())
    for index in range(4):
        roll = (torch.rand(12, 88, generator=torch.Generator().manual_seed(index)) < 0.05).float()
        roll[:, 40] = 1
        write_midi(roll, folder / "a.mid", steps_per_quarter=1 + index)
        VALID.append((folder / "a.mid").read_bytes())
    shutil.rmtree(folder)


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """A folder of three files, of which one is mutated."""
    for index in range(2):
        (folder / f"valid{index}.mid").write_bytes(VALID[index])
    content = choose(rng, VALID)
    (folder / "a.mid").write_bytes(content if rng.random() < 0.1 else mutated_bytes(rng, content))
    options = {
        "steps_per_quarter": choose(rng, (None, 1, 4, 960)),
        "onsets": rng.random() < 0.3,
        "skip_bad_files": rng.random() < 0.2,
    }
    return {"data": ".", "options": options}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Load the data set."""
    check_splits(use_folder(folder, arguments))


DOOR = Door("midi", make, use, prepare)
