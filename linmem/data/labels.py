"""Labels of a user's files, from class folders or a file `labels.csv`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from linmem.data.csv_file import is_number, rows_of
from linmem.storage.limits import require_size
from linmem.storage.messages import shortened

FILE = "labels.csv"
_BYTES_PER_BYTE = 64  # memory of the cells per byte of text
LAYOUT = (
    "Use one subfolder per class (DATA/CLASS/file), the same inside train, valid and test, or a file labels.csv with "
    "the columns file,label"
)


class Labels(NamedTuple):
    """One label per sequence, as written: class names, or numbers that are regression targets."""

    values: list[tuple[str, ...]]
    regression: bool


def from_folders(paths: Sequence[PurePosixPath], depth: int, required: bool = False) -> Labels | None:
    """Take the class of each file from the folder that it lies in.

    Parameters
    ----------
    paths : sequence of PurePosixPath
        Paths of the files inside the data folder.
    depth : int
        Position of the class folder in a path: 1 inside train, valid and test, else 0.
    required : bool
        Whether fewer than two class folders are an error.

    Returns
    -------
    Labels or None
        None if there are fewer than two class folders.

    Raises
    ------
    ValueError
        Some files lie in class folders and others beside them, or labels are required and missing.
    """
    found = [path.parts[depth] if len(path.parts) > depth + 1 else None for path in paths]
    names = sorted({name for name in found if name is not None})
    if len(names) < 2:
        if required:
            raise ValueError(f"The data must lie in at least 2 class folders, got {len(names)}. {LAYOUT}.")
        return None
    for path, name in zip(paths, found, strict=True):
        if name is None:
            raise ValueError(
                f"{path} must lie in a class folder like the files in {names[0]} and {names[1]}, got none. {LAYOUT}; "
                "for data without classes give labels='none'."
            )
    return Labels([(str(name),) for name in found], False)


def read_labels(path: Path) -> tuple[dict[str, tuple[str, ...]], bool]:
    """Read a labels.csv: the path of each file relative to it, and its label or numbers.

    Returns
    -------
    dict from str to tuple of str
        The label columns of each file.
    bool
        Whether they are regression targets: all are numbers, and the header does not name the column `class`.

    Raises
    ------
    ValueError
        A row is incomplete or repeated, or several columns are not all numbers.
    """
    require_size(_BYTES_PER_BYTE * path.stat().st_size, path)
    rows = list(rows_of(path))
    header = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    if header[:1] in (["file"], ["filename"], ["path"]):
        rows = rows[1:]
    else:
        header = []
    labels: dict[str, tuple[str, ...]] = {}
    for line, row in rows:
        cells = [cell.strip() for cell in row]
        if len(cells) < 2 or not all(cells) or len(cells) != len(rows[0][1]):
            raise ValueError(
                f"{path}, line {line} must be a file and its label, got {','.join(row)[:40]!r}. Repair it."
            )
        if cells[0] in labels:
            raise ValueError(f"{path}, line {line} must name a new file, got {cells[0]!r} again. Remove one of them.")
        labels[cells[0]] = tuple(cells[1:])
    if not labels:
        raise ValueError(f"{path} must hold rows file,label, got none. Add one per file.")
    numeric = all(is_number(cell) for label in labels.values() for cell in label)
    if not numeric and len(next(iter(labels.values()))) > 1:
        raise ValueError(f"{path} must hold one class column or columns of numbers, got a mixture. Remove columns.")
    return labels, numeric and header[1:] != ["class"]


def from_files(paths: Sequence[PurePosixPath], root: Path, complete: bool = True) -> Labels | None:
    """Take labels from labels.csv files in the folder or in its subfolders train, valid and test.

    Parameters
    ----------
    paths : sequence of PurePosixPath
        Paths of the data files inside the folder.
    root : Path
        The folder.
    complete : bool
        Whether a label without a data file is an error; not so where unreadable files were skipped.

    Returns
    -------
    Labels or None
        None if there is no labels.csv.

    Raises
    ------
    ValueError
        A file has no label, a labelled file is missing, or the files disagree on the kind of label.
    """
    found: dict[PurePosixPath, tuple[str, ...]] = {}
    kinds = []
    for place in (".", "train", "valid", "test"):
        path = root / place / FILE
        if path.is_file():
            labels, regression = read_labels(path)
            kinds.append(regression)
            found |= {PurePosixPath(place) / name: label for name, label in labels.items()}
    if not kinds:
        return None
    known = set(paths)
    for name in found:
        if complete and name not in known:
            raise ValueError(
                f"{FILE} must name data files of {root}, got {shortened(repr(str(name)))}."
                " Correct the name (with its extension)."
            )
    for name in paths:
        if name not in found:
            raise ValueError(
                f"{FILE} must hold a label for every file, got none for {shortened(repr(str(name)))}. Add a row."
            )
    if len({len(label) for label in found.values()}) > 1 or len(set(kinds)) > 1:
        raise ValueError(
            f"{FILE} must have the same columns and kind of label in all of {root}, got others. Make them alike."
        )
    return Labels([found[name] for name in paths], all(kinds))
