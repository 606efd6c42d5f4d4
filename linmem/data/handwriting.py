"""IAM-OnDB: lines of handwriting on a whiteboard, as the pen moved. For those who registered; it is not downloaded.

Put into $LINMEM_DATA/iam_ondb the folder lineStrokes (and ascii, for the text of the lines) and the lists of forms of
the benchmark IAM-OnDB-t1: trainset.txt, testset_v.txt (valid) and testset_f.txt (test), one such as `a01-000u` a line.
Line 1 of that form is `lineStrokes/a01/a01-000/a01-000u-01.xml`, with elements <Stroke> of <Point x= y=>.

Letters: T points; a = 3 features: the steps in x and y since the point before, and 1 where the pen is lifted after it.
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

SOURCE = "https://fki.tic.heia-fr.ch/databases/iam-on-line-handwriting-database"
LISTS = {"train": "trainset.txt", "valid": "testset_v.txt", "test": "testset_f.txt"}
FORM = re.compile(r"((\w+)-\d+)\w?")


def load_handwriting(root: str | os.PathLike[str] | None = None) -> Splits:
    """Pen movements (T, 3), steps divided by their deviation on train; titles hold the text of each line, if there.

    Raises
    ------
    ValueError
        A list, or a form that is listed, is not there; or a file is damaged.
    """
    folder = data_root(root) / "iam_ondb"
    chosen = {split: [line for form in read_list(folder, split) for line in lines_of(folder, form)] for split in SPLITS}
    pieces = {split: [read_strokes(path) for path in chosen[split]] for split in SPLITS}
    deviation = torch.cat(pieces["train"])[:, :2].std()
    scale = torch.stack([deviation, deviation, torch.ones(())])
    return Splits(
        "iam_ondb",
        **{split: [piece / scale for piece in pieces[split]] for split in SPLITS},
        titles={split: [text_of(folder, path) for path in chosen[split]] for split in SPLITS},
        kind="series",
        provenance=f"IAM On-Line Handwriting Database, IAM-OnDB-t1, {SOURCE}",
    )


def read_list(folder: Path, split: str) -> list[str]:
    """Names of the forms of a split."""
    path = folder / LISTS[split]
    if not path.is_file():
        raise ValueError(
            f"{path} is missing: put your copy of IAM-OnDB ({SOURCE}) there, "
            "or set LINMEM_DATA to a folder that has iam_ondb/trainset.txt"
        )
    forms = path.read_text(encoding="ascii", errors="replace").split()
    for form in forms:
        if not FORM.fullmatch(form):
            raise ValueError(f"{path} lists {form!r}, but a form such as a01-000u was wanted")
    if not forms:
        raise ValueError(f"{path} lists no form")
    return forms


def lines_of(folder: Path, form: str) -> list[Path]:
    """The stroke files of a form, a line each."""
    found = FORM.fullmatch(form)
    assert found is not None
    place = folder / "lineStrokes" / found[2] / found[1]
    lines = sorted(place.glob(f"{form}-*.xml"))
    if not lines:
        raise ValueError(f"{place} has no lines of form {form}, which is listed: put lineStrokes of IAM-OnDB there")
    return lines


def read_strokes(path: Path) -> Tensor:
    """float32 (T, 3) of one line; the first point has no step."""
    try:
        strokes = [
            [(float(point.attrib["x"]), float(point.attrib["y"])) for point in stroke.iter("Point")]
            for stroke in ElementTree.parse(path).getroot().iter("Stroke")
        ]
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a readable file of strokes ({error}): it is damaged") from error
    strokes = [stroke for stroke in strokes if stroke]
    if not strokes:
        raise ValueError(f"{path} has no point: at least one was wanted")
    points = np.concatenate([np.array(stroke) for stroke in strokes])
    lifted = np.concatenate([np.append(np.zeros(len(stroke) - 1), 1) for stroke in strokes])
    steps = np.diff(points, axis=0, prepend=points[:1])
    return torch.from_numpy(np.column_stack([steps, lifted]).astype(np.float32))


def text_of(folder: Path, path: Path) -> str:
    """The text of the line in a stroke file, from the form's ASCII file below `CSR:`; else the line's name."""
    form, line = path.stem.rsplit("-", 1)
    ascii_file = folder / "ascii" / path.parent.parent.name / path.parent.name / f"{form}.txt"
    if not ascii_file.is_file():
        return path.stem
    written = ascii_file.read_text(encoding="utf-8", errors="replace").partition("CSR:")[2]
    lines = [text.strip() for text in written.splitlines() if text.strip()]
    return lines[int(line) - 1] if line.isdigit() and 1 <= int(line) <= len(lines) else path.stem
