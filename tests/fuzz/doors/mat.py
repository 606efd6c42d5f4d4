"""MAT files of cell arrays, as the polyphonic-music sets are stored."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import scipy.io

from tests.fuzz.mutations import choose, mutated_bytes
from tests.fuzz.oracle import Door


def content(rng: Random) -> bytes:
    """Pieces of 0 and 1 in three cell arrays, compressed or not; sometimes of other types or shapes."""
    draw = np.random.default_rng(rng.getrandbits(32))
    variables = {}
    for split in ("traindata", "validdata", "testdata"):
        cells = np.empty((1, 2), dtype=object)
        for index in range(2):
            roll = (draw.random((rng.randint(1, 9), 88)) < 0.05).astype(choose(rng, ("u1", "f8", "f4", "i4")))
            cells[0, index] = (
                roll if rng.random() < 0.95 else choose(rng, ("text", 3.5, np.zeros((2, 2, 2)), {"a": 1.0}))
            )
        variables[split] = cells if rng.random() < 0.97 else choose(rng, (np.zeros(3), "x", {"a": 2.0}))
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables, do_compression=rng.random() < 0.5)
    return stream.getvalue()


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """A file, mutated in most cases."""
    found = content(rng)
    (folder / "a.mat").write_bytes(found if rng.random() < 0.1 else mutated_bytes(rng, found, head=300))
    return {}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Read the pieces of all splits."""
    from linmem.data.poly_music import read_pieces

    pieces = read_pieces(folder / "a.mat")
    for split in ("train", "valid", "test"):
        assert pieces[split]
        for roll in pieces[split]:
            assert roll.shape[1] == 88
            assert bool(((roll == 0) | (roll == 1)).all())


DOOR = Door("mat", make, use)
