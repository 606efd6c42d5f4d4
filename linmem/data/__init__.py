"""Data sets by name, `load("chorales")`, in part, `load("psmnist:5000:1000")`, or from a folder of the user's files.

A new set is one file with a function `root -> Splits` and one row in SETS.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from linmem.data.chorales import load_chorales
from linmem.data.folder import load_folder
from linmem.data.handwriting import load_handwriting
from linmem.data.mnist import load_digits, load_mnist
from linmem.data.poly_music import REMOTE, load_poly_music
from linmem.data.splits import SPLITS, LabelledSplits, PairedSplits, Splits, take
from linmem.data.synthetic import MADE, load_generation, load_mackey_glass, load_made
from linmem.data.timit import load_timit

SETS: dict[str, Callable[[str | os.PathLike[str] | None], Splits]] = {
    "chorales": load_chorales,
    **{name: partial(load_poly_music, name) for name in REMOTE},
    "smnist": partial(load_mnist, False),
    "psmnist": partial(load_mnist, True),
    "digits": load_digits,
    "timit": load_timit,
    "iam_ondb": load_handwriting,
    **{name: partial(load_made, name) for name in MADE},
    "generation": load_generation,
    "mackey_glass_17": partial(load_mackey_glass, 17),
    "mackey_glass_30": partial(load_mackey_glass, 30),
}

__all__ = ["SETS", "LabelledSplits", "PairedSplits", "Splits", "load"]


def load(name_or_folder: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> Splits:
    """Load a data set by its name, or the MIDI, NPY or CSV files of a folder.

    Parameters
    ----------
    name_or_folder : str or path
        A name of SETS, else the path of a folder (`./chorales` for a folder with the name of a set). `NAME:n`,
        `NAME:n:m` and `NAME:n:m:k` keep only the first n sequences of train, m of valid and k of test.
    root : path, optional
        Folder of downloaded files; default $LINMEM_DATA, else the user's cache folder.

    Returns
    -------
    Splits
        `LabelledSplits` if the sequences have classes, `PairedSplits` if they have real-valued targets.

    Raises
    ------
    ValueError
        The name is unknown, or a file is damaged, altered or does not fit the others.
    ConnectionError
        A file must be downloaded and cannot be.

    Examples
    --------
    >>> load("chorales")
    Splits('chorales', piano_roll, 88 features; train 233, valid 78, test 78)
    >>> load("digits:100:20")
    LabelledSplits('digits', series, 1 features, 10 classes; train 100, valid 20, test 359)
    """
    known = SETS.get(os.fspath(name_or_folder))
    if known is not None:
        return known(root)
    name, *counts = os.fspath(name_or_folder).split(":")
    if name in SETS and 1 <= len(counts) <= len(SPLITS) and all(count.isdecimal() for count in counts):
        return take(SETS[name](root), dict(zip(SPLITS, map(int, counts), strict=False)))
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return load_folder(folder)
    names = ", ".join(SETS)
    raise ValueError(f"data must be a known data set, a folder or a file, got {str(folder)!r}. Known: {names}.")
