"""A user's own folder as a data set: one file a sequence, all MIDI, all NPY or all CSV.

Either the folder has subfolders train, valid and test, or the files are split here: put in the order of the SHA-256 of
their paths inside the folder, the last 15 % (at least one) are test and the 15 % before them (at least one) valid. The
order depends on the names alone, so the same folder is split alike on every machine and in every run.

Letters: T steps, a features.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from linmem.data.midi import NOTES, piano_roll
from linmem.data.splits import SPLITS, Splits

HELD_OUT = 0.15


def load_folder(folder: str | os.PathLike[str]) -> Splits:
    """The sequences of all MIDI, NPY or CSV files in the folder and its subfolders.

    MIDI files give piano rolls at quarter-note steps. An NPY or CSV file holds numbers, (T, a): a row a step, a column
    a feature; the first line of a CSV file may hold column names. Other files and hidden ones are passed over.

    Raises
    ------
    ValueError
        No or too few files, several kinds of them, a file that cannot be read, or one whose columns differ in number.
    """
    folder = Path(folder)
    files = data_files(folder)
    read = READERS[one_kind(folder, files)]
    chosen = choose_splits(folder, files)
    pieces = {split: [read(path) for path in chosen[split]] for split in SPLITS}
    check_columns(chosen, pieces)
    train, valid, test = (pieces[split] for split in SPLITS)
    return Splits(
        folder.resolve().name,
        train,
        valid,
        test,
        titles={split: [path.relative_to(folder).as_posix() for path in chosen[split]] for split in SPLITS},
        kind="piano_roll" if all(is_roll(piece) for split in SPLITS for piece in pieces[split]) else "series",
        provenance=f"{len(files)} files of {folder.resolve()}",
    )


def data_files(folder: Path) -> list[Path]:
    """Every file of a known kind, hidden ones left out, sorted."""
    found = [path for path in folder.rglob("*") if path.suffix.lower() in READERS and path.is_file()]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def one_kind(folder: Path, files: list[Path]) -> str:
    """The suffix that all files share; .midi counts as .mid."""
    first = {path.suffix.lower().replace(".midi", ".mid"): path for path in reversed(files)}
    if not first:
        raise ValueError(f"{folder} holds no data: MIDI (.mid, .midi), NPY or CSV files are wanted, one a sequence")
    if len(first) > 1:
        examples = ", ".join(str(path.relative_to(folder)) for path in first.values())
        raise ValueError(f"{folder} holds files of several kinds ({examples}): keep those of one kind")
    return next(iter(first))


def choose_splits(folder: Path, files: list[Path]) -> dict[str, list[Path]]:
    """The files of each split: by subfolder where there are such, else by the hash of their names."""
    if any((folder / split).is_dir() for split in SPLITS):
        chosen = {split: [path for path in files if path.is_relative_to(folder / split)] for split in SPLITS}
        for split in SPLITS:
            if not chosen[split]:
                raise ValueError(f"{folder / split} holds no data files: train, valid and test each need at least one")
        outside = [path for path in files if path.relative_to(folder).parts[0] not in SPLITS]
        if outside:
            raise ValueError(f"{outside[0]} is in none of train, valid and test: move it into one of them")
        return chosen
    if len(files) < 3:
        raise ValueError(f"{folder} holds {len(files)} data file(s): at least 3 are wanted, for train, valid and test")
    mixed = sorted(files, key=lambda path: hashlib.sha256(path.relative_to(folder).as_posix().encode()).digest())
    held_out = max(1, round(HELD_OUT * len(files)))
    first_valid, first_test = len(files) - 2 * held_out, len(files) - held_out
    cut = {"train": mixed[:first_valid], "valid": mixed[first_valid:first_test], "test": mixed[first_test:]}
    return {split: sorted(paths) for split, paths in cut.items()}


def check_columns(chosen: dict[str, list[Path]], pieces: dict[str, list[Tensor]]) -> None:
    """Raise ValueError unless every file has as many columns as the first of train."""
    wanted, model = pieces["train"][0].shape[1], chosen["train"][0]
    for split in SPLITS:
        for path, piece in zip(chosen[split], pieces[split], strict=True):
            if piece.shape[1] != wanted:
                raise ValueError(
                    f"{path} has {piece.shape[1]} columns, but {model} has {wanted}: give all files the same columns"
                )


def is_roll(piece: Tensor) -> bool:
    """Whether it is 0 and 1 in 88 columns."""
    return piece.shape[1] == NOTES and bool(((piece == 0) | (piece == 1)).all())


def read_midi(path: Path) -> Tensor:
    """One MIDI file at quarter-note steps."""
    roll = piano_roll(path)
    if not roll.any():
        raise ValueError(f"{path} has no note between A0 and C8 that sounds on a quarter: take it away")
    return roll


def read_npy(path: Path) -> Tensor:
    """One array (T, a), never unpickled."""
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a readable NPY file of numbers ({error}): save it with numpy.save") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        raise ValueError(f"{path} holds {getattr(values, 'dtype', type(values).__name__)}, but real numbers are wanted")
    return as_sequence(values, path)


def read_csv(path: Path) -> Tensor:
    """One table of numbers separated by commas, a step a line; the first line may hold names."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [(line, row) for line, row in enumerate(csv.reader(stream), start=1) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a readable CSV file ({error}): save it as plain text in UTF-8") from error
    if rows and not any(is_number(cell) for cell in rows[0][1]):
        rows = rows[1:]
    for line, row in rows:
        if len(row) != len(rows[0][1]):
            raise ValueError(f"{path}, line {line} has {len(row)} columns, but the lines before have {len(rows[0][1])}")
        for column, cell in enumerate(row, start=1):
            if not is_number(cell):
                raise ValueError(f"{path}, line {line}, column {column} is {cell!r}, but a number is wanted")
    return as_sequence(np.array([[float(cell) for cell in row] for _, row in rows]), path)


def is_number(cell: str) -> bool:
    """Whether float() takes it."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def as_sequence(values: np.ndarray, path: Path) -> Tensor:
    """float32 (T, a) of finite numbers, or ValueError."""
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"{path} has shape {values.shape}, but (T, a) is wanted: a row a step, a column a feature")
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32)
    if not np.isfinite(numbers).all():
        step, feature = np.argwhere(~np.isfinite(numbers))[0].tolist()
        raise ValueError(f"{path}, step {step}, feature {feature} is {values[step, feature]}, not a finite float32")
    return torch.from_numpy(numbers)


READERS: dict[str, Callable[[Path], Tensor]] = {
    ".mid": read_midi,
    ".midi": read_midi,
    ".npy": read_npy,
    ".csv": read_csv,
}
