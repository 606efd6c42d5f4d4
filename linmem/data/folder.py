"""A user's own files as a data set: a folder of MIDI, NPY, CSV or TS files, or one file of numbers.

`load_folder` finds the files, reads them into cases, takes labels from class folders, labels.csv or TS files, and
splits the cases: by folders train, valid and test, by names of TS files in a folder (NAME_TRAIN.ts), or by `partition`.

Symbols: T steps, a features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import torch

from linmem.data import labels as labels_of
from linmem.data.case_files import data_files, one_format, read_files, warn_if_dated, warn_if_transposed
from linmem.data.label_encoding import as_targets, encode_classes
from linmem.data.partition import HELD_OUT, partition
from linmem.data.readers import NUMERIC, READERS, Case, Reading, is_roll
from linmem.data.splits import SPLITS, LabelledSplits, PairedSplits, Splits
from linmem.validation import shown

LABEL_SOURCES = ("auto", "folders", "none")


@dataclass(frozen=True)
class FolderOptions:
    """How a user's own files are read.

    Parameters
    ----------
    standardize : bool
        Whether features get mean 0 and standard deviation 1 on train; not so for piano rolls. `linmem train` does so by
        default for networks on own files.
    steps_per_quarter : int, optional
        Steps per quarter note of MIDI files and of piano rolls in NPY files; default 1.
    layout : str
        "tc": NPY and CSV files hold a row per step; "ct": a row per channel, as in aeon and sktime.
    onsets : bool
        Whether MIDI files and the set chorales get 88 further columns that mark where notes begin.
    labels : str
        "auto": class folders label NPY and CSV files; "folders": MIDI files, too; "none": folders are not classes.
    skip_bad_files : bool
        Whether files that cannot be read are skipped and listed in `Splits.skipped` instead of raising.
    split_seed : int
        Selects the split where the data have none of their own.

    Examples
    --------
    >>> from linmem.data import FolderOptions
    >>> FolderOptions(standardize=True, layout="ct").labels
    'auto'
    """

    standardize: bool = False
    steps_per_quarter: int | None = None
    layout: str = "tc"
    onsets: bool = False
    labels: str = "auto"
    skip_bad_files: bool = False
    split_seed: int = 0

    def __post_init__(self) -> None:
        if self.layout not in ("tc", "ct"):
            raise ValueError(f"layout must be 'tc' (steps, features) or 'ct', got {shown(self.layout)}. Change layout.")
        if self.labels not in LABEL_SOURCES:
            raise ValueError(
                f"labels must be one of {', '.join(LABEL_SOURCES)}, got {shown(self.labels)}. Change labels."
            )

    @property
    def reading(self) -> Reading:
        """What single files depend on."""
        return Reading(self.steps_per_quarter or 1, self.layout, self.onsets)


def load_folder(path: Path, options: FolderOptions = FolderOptions()) -> Splits:
    """Load a folder of files, or one CSV, NPY or TS file.

    Parameters
    ----------
    path : Path
        The folder or file.
    options : FolderOptions
        How to read it.

    Returns
    -------
    Splits
        `LabelledSplits` with classes, `PairedSplits` with numeric labels.

    Raises
    ------
    ValueError
        There are no or too few files, several formats, a file that cannot be read, or labels that do not fit.
    """
    root, files, suffix = files_of(path)
    if len(files) == 1 and suffix in NUMERIC:
        return split_in_time(path, files[0], options)
    cases, names, skipped = read_files(root, files, options.reading, options.skip_bad_files)
    warn_if_transposed(cases, options.layout)
    warn_if_dated(cases)
    given = [None if path.is_file() else split_named(name) for name in names]
    found = find_labels(root, names, any(given), suffix, options)
    if found is None and cases[0].label is not None:
        found = labels_of.Labels([(str(case.label),) for case in cases], cases[0].regression)
    return assemble(path, cases, given, found, skipped, options)


def load_unlabelled(path: Path, options: FolderOptions = FolderOptions()) -> Splits | None:
    """Load all sequences of a folder or file as the test split, without labels; None where a folder names splits.

    Raises
    ------
    ValueError
        There are no files, several formats, or a file that cannot be read.
    """
    root, files, _ = files_of(path)
    cases, names, skipped = read_files(root, files, options.reading, options.skip_bad_files)
    if not path.is_file() and any(map(split_named, names)):
        return None
    warn_if_transposed(cases, options.layout)
    warn_if_dated(cases)
    titles = {"test": [case.title for case in cases]}
    kind = "piano_roll" if all(is_roll(case.values) for case in cases) else "series"
    return Splits(path.resolve().name, [], [], [case.values for case in cases], titles, kind, skipped=tuple(skipped))


def files_of(path: Path) -> tuple[Path, list[Path], str]:
    """Return the folder, its data files (one where `path` is a file) and their suffix; ValueError for several."""
    root, files = (path.parent, [path]) if path.is_file() else (path, data_files(path))
    return root, files, one_format(path, files)


def split_named(name: PurePosixPath) -> str | None:
    """Return the split that a path names: by its first folder, or by the end of a TS file's name."""
    if len(name.parts) > 1 and name.parts[0] in SPLITS:
        return name.parts[0]
    ending = name.stem.lower().rpartition("_")[2]
    return ending if name.suffix.lower() == ".ts" and ending in SPLITS else None


def find_labels(
    root: Path, names: Sequence[PurePosixPath], split: bool, suffix: str, options: FolderOptions
) -> labels_of.Labels | None:
    """Take labels from labels.csv, else from class folders; None for data without either."""
    if options.labels == "none" or suffix == ".ts":
        return None
    found = labels_of.from_files(names, root, complete=not options.skip_bad_files)
    if found is not None:
        return found
    if options.labels == "folders" or suffix in NUMERIC:
        return labels_of.from_folders(names, int(split), required=options.labels == "folders")
    return None


def assemble(
    path: Path,
    cases: Sequence[Case],
    given: Sequence[str | None],
    found: labels_of.Labels | None,
    skipped: Sequence[str],
    options: FolderOptions,
) -> Splits:
    """Split cases and labels, and build the data set."""
    titles = [case.title for case in cases]
    by_class = found is not None and not found.regression
    strata: list[str | None] = [label[0] for label in found.values] if found and by_class else [None] * len(cases)
    try:
        chosen = partition(titles, given, strata, options.split_seed)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    train, valid, test = ([cases[i].values for i in chosen[split]] for split in SPLITS)
    splits = Splits(
        path.resolve().stem if path.is_file() else path.resolve().name,
        train,
        valid,
        test,
        titles={split: [titles[i] for i in chosen[split]] for split in SPLITS},
        kind="piano_roll" if all(is_roll(case.values) for case in cases) else "series",
        provenance=f"{len(cases)} sequences of {path.resolve()}",
        channels=cases[0].names,
        skipped=tuple(skipped),
    )
    if splits.kind == "piano_roll":
        splits = replace(splits, steps_per_quarter=options.steps_per_quarter or 1)
    if found is None:
        return splits
    if found.regression:
        targets = as_targets(found.values, titles)
        return PairedSplits(**vars(splits), targets={split: [targets[i] for i in chosen[split]] for split in SPLITS})
    classes = encode_classes([label[0] for label in found.values], chosen["train"])
    return LabelledSplits(
        **vars(splits),
        labels={split: classes.numbers[torch.tensor(chosen[split])] for split in SPLITS},
        class_names=classes.names,
    )


def split_in_time(path: Path, file: Path, options: FolderOptions) -> Splits:
    """Split one long series: the last 15 % of its steps are test, the 15 % before them valid."""
    (case,) = READERS[file.suffix.lower()](file, file.name, options.reading)
    warn_if_transposed([case], options.layout)
    warn_if_dated([case])
    steps = len(case.values)
    held_out = round(HELD_OUT * steps)
    if held_out < 2:
        raise ValueError(
            f"{file} must hold at least 10 steps to be split in time, got {steps}. "
            "Give a longer series, or at least 3 files."
        )
    cuts = {"train": (0, steps - 2 * held_out), "valid": (steps - 2 * held_out, steps - held_out)}
    cuts["test"] = (steps - held_out, steps)
    train, valid, test = ([case.values[first:last]] for first, last in cuts.values())
    roll = is_roll(case.values)
    return Splits(
        path.resolve().stem if path.is_file() else path.resolve().name,
        train,
        valid,
        test,
        titles={split: [f"{file.name}, steps {first} to {last - 1}"] for split, (first, last) in cuts.items()},
        kind="piano_roll" if roll else "series",
        provenance=f"{steps} steps of {file.resolve()}, split in time",
        channels=case.names,
        steps_per_quarter=(options.steps_per_quarter or 1) if roll else None,
        consecutive=True,
    )
