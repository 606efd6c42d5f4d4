"""IAM-OnDB: lines of handwriting on a whiteboard as pen movements. It requires registration and is not downloaded.

Put into $LINMEM_DATA/iam_ondb the folder lineStrokes (and ascii, for the text of the lines) and the lists of forms of
the benchmark IAM-OnDB-t1: trainset.txt, testset_v.txt (valid) and testset_f.txt (test), with one form per line, such
as `a01-000u`.
Line 1 of that form is `lineStrokes/a01/a01-000/a01-000u-01.xml`, with elements <Stroke> of <Point x= y=>.

Symbols: T points; a = 3 features: the differences in x and y to the previous point, and 1 where the pen is lifted
after the point.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor

from linmem.data.downloads import data_root
from linmem.data.splits import SPLITS, Splits
from linmem.storage.limits import require_size
from linmem.storage.messages import shortened
from linmem.storage.parsing import parsing

SOURCE = "https://fki.tic.heia-fr.ch/databases/iam-on-line-handwriting-database"
LISTS = {"train": "trainset.txt", "valid": "testset_v.txt", "test": "testset_f.txt"}
_BYTES_PER_BYTE = 32  # memory of the parsed XML per byte of text
FORM = re.compile(r"((\w+)-\d+)\w?")


def load_handwriting(root: str | os.PathLike[str] | None = None) -> Splits:
    """Load pen movements (T, 3), the differences divided by their standard deviation on train.

    Parameters
    ----------
    root : path, optional
        The data root; see `downloads.data_root`.

    Returns
    -------
    Splits
        Titles hold the text of each line where the folder `ascii` has it.

    Raises
    ------
    ValueError
        A list or a listed form is missing, or a file is damaged.
    """
    folder = data_root(root) / "iam_ondb"
    chosen = {split: [line for form in read_list(folder, split) for line in lines_of(folder, form)] for split in SPLITS}
    pieces = {split: [read_strokes(path) for path in chosen[split]] for split in SPLITS}
    deviation = torch.cat(pieces["train"])[:, :2].std()
    scale = torch.stack([deviation, deviation, torch.ones(())])
    train, valid, test = ([piece / scale for piece in pieces[split]] for split in SPLITS)
    return Splits(
        "iam_ondb",
        train,
        valid,
        test,
        titles={split: [text_of(folder, path) for path in chosen[split]] for split in SPLITS},
        kind="series",
        provenance=f"IAM On-Line Handwriting Database, IAM-OnDB-t1, {SOURCE}",
    )


def read_list(folder: Path, split: str) -> list[str]:
    """Read the names of the forms of a split."""
    path = folder / LISTS[split]
    if not path.is_file():
        raise ValueError(
            f"{path} must exist, got no such file. Put your copy of IAM-OnDB ({SOURCE}) there, "
            "or set LINMEM_DATA to a folder that has iam_ondb/trainset.txt."
        )
    forms = path.read_text(encoding="ascii", errors="replace").split()
    for form in forms:
        if not FORM.fullmatch(form):
            raise ValueError(f"{path} must list forms such as a01-000u, got {shortened(repr(form))}. Restore the file.")
    if not forms:
        raise ValueError(f"{path} must list at least one form, got none. Restore the file.")
    return forms


def lines_of(folder: Path, form: str) -> list[Path]:
    """List the stroke files of a form, one per line of text."""
    found = FORM.fullmatch(form)
    assert found is not None
    place = folder / "lineStrokes" / found[2] / found[1]
    lines = sorted(place.glob(f"{form}-*.xml"))
    if not lines:
        raise ValueError(f"{place} must hold the lines of form {form}, got none. Put lineStrokes of IAM-OnDB there.")
    return lines


def read_strokes(path: Path) -> Tensor:
    """Read one line as float32 (T, 3); the differences of the first point are 0."""
    require_size(_BYTES_PER_BYTE * path.stat().st_size, path)
    with parsing(path, "a readable file of strokes", "Restore the file."):
        strokes = [
            [(float(point.attrib["x"]), float(point.attrib["y"])) for point in stroke.iter("Point")]
            for stroke in ElementTree.parse(path).getroot().iter("Stroke")
        ]
    strokes = [stroke for stroke in strokes if stroke]
    if not strokes:
        raise ValueError(f"{path} must hold at least one point, got none. Restore the file.")
    points = np.concatenate([np.array(stroke) for stroke in strokes])
    lifted = np.concatenate([np.append(np.zeros(len(stroke) - 1), 1) for stroke in strokes])
    if not np.isfinite(points).all() or np.abs(points).max() > 1e9:
        raise ValueError(f"{path} must hold finite coordinates of at most 1e9, got others. Restore the file.")
    steps = np.diff(points, axis=0, prepend=points[:1])
    return torch.from_numpy(np.column_stack([steps, lifted]).astype(np.float32))


def text_of(folder: Path, path: Path) -> str:
    """Return the text of a stroke file's line, from the form's ASCII file below `CSR:`, else the line's name."""
    form, line = path.stem.rsplit("-", 1)
    ascii_file = folder / "ascii" / path.parent.parent.name / path.parent.name / f"{form}.txt"
    if not ascii_file.is_file():
        return path.stem
    written = ascii_file.read_text(encoding="utf-8", errors="replace").partition("CSR:")[2]
    lines = [text.strip() for text in written.splitlines() if text.strip()]
    return lines[int(line) - 1] if line.isdigit() and 1 <= int(line) <= len(lines) else path.stem
