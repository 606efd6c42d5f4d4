"""The files of a user's folder: which belong to the data, how they are read together, and whether they fit."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from linmem.data.labels import FILE as LABEL_FILE
from linmem.data.readers import READERS, Case, Reading, is_roll


def data_files(folder: Path) -> list[Path]:
    """List every file of a known format, sorted; hidden files and labels.csv are left out."""
    found = [path for path in folder.rglob("*") if path.suffix.lower() in READERS and path.is_file()]
    return sorted(
        path
        for path in found
        if path.name != LABEL_FILE and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def one_format(path: Path, files: list[Path]) -> str:
    """Return the suffix that all files share; .midi counts as .mid."""
    first = {file.suffix.lower().replace(".midi", ".mid"): file for file in reversed(files)}
    if not first:
        raise ValueError(f"{path} must hold MIDI, NPY, CSV or TS files, got none. Add one per sequence.")
    if len(first) > 1:
        examples = ", ".join(str(file.relative_to(path)) for file in first.values())
        raise ValueError(f"{path} must hold files of one format, got several ({examples}). Keep those of one format.")
    suffix = next(iter(first))
    if suffix not in READERS or (path.is_file() and suffix == ".mid"):
        raise ValueError(f"data must be a folder, or one CSV, NPY or TS file, got {path}. Give the folder of the file.")
    return suffix


def read_files(
    root: Path, files: Sequence[Path], reading: Reading, skip_bad_files: bool
) -> tuple[list[Case], list[PurePosixPath], list[str]]:
    """Read all files; returns the cases, the file of each, and the reasons of skipped files."""
    cases: list[Case] = []
    names: list[PurePosixPath] = []
    skipped: list[str] = []
    for file in files:
        name = PurePosixPath(file.relative_to(root).as_posix())
        try:
            found = READERS[file.suffix.lower()](file, name.as_posix(), reading)
        except ValueError as error:
            if not skip_bad_files:
                raise
            skipped.append(str(error))
        else:
            cases += found
            names += [name] * len(found)
    for index, message in sorted(column_errors(cases, reading.layout).items(), reverse=True) if cases else ():
        if not skip_bad_files:
            raise ValueError(message)
        skipped.append(message)
        del cases[index], names[index]
    if not cases:
        raise ValueError(f"{root} must hold at least one readable file, got none. First: {skipped[0]}")
    if skipped:
        warnings.warn(f"Skipped {len(skipped)} of {len(files)} files. First: {skipped[0]}", stacklevel=4)
    return cases, names, skipped


def column_errors(cases: Sequence[Case], layout: str) -> dict[int, str]:
    """Return a message for each case whose number or names of columns differ from those of most cases."""
    usual = Counter((case.values.shape[1], case.names) for case in cases).most_common(1)[0][0]
    model = next(case for case in cases if (case.values.shape[1], case.names) == usual)
    hint = ""
    if model.transposable and len({len(case.values) for case in cases}) == 1:
        hint = f" If features are steps, use layout={_other(layout)!r}."
    messages = {}
    for index, case in enumerate(cases):
        if case.values.shape[1] != usual[0]:
            messages[index] = (
                f"{case.title} must have {usual[0]} columns like {model.title}, got {case.values.shape[1]}. "
                f"Give all files the same columns.{hint}"
            )
        elif case.names != usual[1]:
            messages[index] = (
                f"{case.title} must have the header {','.join(usual[1])[:60]!r} like {model.title}, "
                f"got {','.join(case.names)[:60]!r}. Give all files the same header."
            )
    return messages


def warn_if_transposed(cases: Sequence[Case], layout: str) -> None:
    """Warn where every sequence has more features than steps, as if rows and columns were exchanged."""
    if not cases[0].transposable or any(is_roll(case.values) for case in cases):
        return
    if all(len(case.values) < case.values.shape[1] for case in cases):
        other = _other(layout)
        warnings.warn(
            f"All sequences have more features than steps, such as {tuple(cases[0].values.shape)} in "
            f"{cases[0].title}. If features are steps, use layout={other!r} (linmem train --layout {other}).",
            stacklevel=4,
        )


def warn_if_dated(cases: Sequence[Case]) -> None:
    """Warn where a first column of dates was left out, which may be meant as a feature."""
    dated = [case.title for case in cases if case.dated]
    if dated:
        of = dated[0] if len(cases) == 1 else f"{len(dated)} of {len(cases)} files, such as {dated[0]},"
        warnings.warn(
            f"The first column of {of} holds dates and is left out; steps count as equally long.",
            stacklevel=4,
        )


def _other(layout: str) -> str:
    return "ct" if layout == "tc" else "tc"
