"""Data sets by name, `load("chorales")`, in part, `load("psmnist:5000:1000")`, or from a folder of the user's files.

A new set is one file with a function `root -> Splits` and one row in SETS.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from linmem.data.chorales import load_chorales
from linmem.data.folder import FolderOptions, load_folder
from linmem.data.handwriting import load_handwriting
from linmem.data.mnist import load_digits, load_mnist
from linmem.data.poly_music import REMOTE, load_poly_music
from linmem.data.sealed import seal
from linmem.data.splits import SPLITS, LabelledSplits, PairedSplits, Splits, take
from linmem.data.standardization import Standardization
from linmem.data.synthetic_sets import TASKS, load_generation, load_mackey_glass, load_task
from linmem.data.timit import load_timit
from linmem.storage.messages import shortened
from linmem.validation import shown

SETS: dict[str, Callable[[str | os.PathLike[str] | None], Splits]] = {
    "chorales": load_chorales,
    **{name: partial(load_poly_music, name) for name in REMOTE},
    "smnist": partial(load_mnist, False),
    "psmnist": partial(load_mnist, True),
    "digits": load_digits,
    "timit": load_timit,
    "iam_ondb": load_handwriting,
    **{name: partial(load_task, name) for name in TASKS},
    "generation": load_generation,
    "mackey_glass_17": partial(load_mackey_glass, 17),
    "mackey_glass_30": partial(load_mackey_glass, 30),
}
SETS_WITH_ONSETS = {"chorales": partial(load_chorales, onsets=True)}

__all__ = [
    "SETS",
    "FolderOptions",
    "LabelledSplits",
    "PairedSplits",
    "Splits",
    "Standardization",
    "load",
]


def load(
    name_or_folder: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    *,
    standardize: bool = False,
    steps_per_quarter: int | None = None,
    layout: str = "tc",
    onsets: bool = False,
    labels: str = "auto",
    skip_bad_files: bool = False,
    split_seed: int = 0,
) -> Splits:
    """Load a data set by its name, or the user's own files.

    Parameters
    ----------
    name_or_folder : str or path
        A name of SETS; else a folder of MIDI, NPY, CSV or TS files, or one CSV, NPY or TS file (`./chorales` for a
        folder with the name of a set). `NAME:n`, `NAME:n:m` and `NAME:n:m:k` keep only the first n sequences of train,
        m of valid and k of test.
    root : path, optional
        Folder of downloaded files; default $LINMEM_DATA, else the user's cache folder.
    standardize : bool
        Whether features get mean 0 and standard deviation 1 on train. `Splits.standardization` holds the statistics.
        Piano rolls stay as they are.
    steps_per_quarter, layout, onsets, labels, skip_bad_files, split_seed
        How own files are read; see `FolderOptions`. They do not apply to named sets, except `onsets` to `chorales`.

    Returns
    -------
    Splits
        `LabelledSplits` if the sequences have classes, `PairedSplits` if they have real-valued targets.

    Raises
    ------
    ValueError
        The name is unknown, a file is damaged, altered or does not fit the others, or an option does not apply.
    ConnectionError
        A file must be downloaded and cannot be.

    Examples
    --------
    >>> load("chorales")
    Splits('chorales', piano_roll, 88 features; train 233, valid 78, test 78)
    >>> load("digits:100:20")
    LabelledSplits('digits', series, 1 features, 10 classes; train 100, valid 20, test 359)
    """
    options = FolderOptions(standardize, steps_per_quarter, layout, onsets, labels, skip_bad_files, split_seed)
    splits = _load_set(os.fspath(name_or_folder), root, onsets)
    if splits is not None:
        _check_options(splits, options)
    else:
        path = Path(os.path.expanduser(name_or_folder))  # unlike Path.expanduser it never raises
        if not path.is_dir() and not path.is_file():
            if len(path.parts) > 1:
                raise ValueError(f"data must be an existing folder or file, got {shortened(repr(str(path)), 160)}.")
            raise ValueError(
                f"data must be a known data set, a folder or a file, got {shown(str(path))}. Known: {_KNOWN}."
            )
        splits = load_folder(path, options)
    return seal(standardized(splits) if standardize else splits)


_KNOWN = ", ".join(SETS)


def _load_set(name: str, root: str | os.PathLike[str] | None, onsets: bool) -> Splits | None:
    sets = SETS | SETS_WITH_ONSETS if onsets else SETS
    if name in sets:
        return sets[name](root)
    name, *counts = name.split(":")
    if name in sets and 1 <= len(counts) <= len(SPLITS) and all(count.isdecimal() for count in counts):
        return take(sets[name](root), dict(zip(SPLITS, map(int, counts), strict=False)))
    return None


def _check_options(splits: Splits, options: FolderOptions) -> None:
    """Refuse options of own files for a named set, but for its resolution, and for onsets where it has them."""
    onsets = options.onsets and splits.name in SETS_WITH_ONSETS
    own = FolderOptions(options.standardize, options.steps_per_quarter and splits.steps_per_quarter, onsets=onsets)
    for name, value in vars(options).items():
        if value != vars(own)[name]:
            raise ValueError(
                f"{name} must be {vars(own)[name]!r} for the set {splits.name}, got {value!r}. Leave it out."
            )


def is_set(name: str) -> bool:
    """Whether a name is that of a data set, whole or in part, and not a path to own files."""
    return name.split(":")[0] in SETS


def standardized(splits: Splits) -> Splits:
    """The data set with features of mean 0 and standard deviation 1 on train; piano rolls stay as they are."""
    if splits.kind == "piano_roll":
        return splits
    statistics = Standardization.fit(splits.train)
    train, valid, test = ([statistics.apply(x) for x in getattr(splits, split)] for split in SPLITS)
    return replace(splits, train=train, valid=valid, test=test, standardization=statistics)
