"""TS files, the text format of aeon and sktime."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.doors.csv import mutated
from tests.fuzz.doors.folders import check_splits, use_folder
from tests.fuzz.mutations import choose
from tests.fuzz.oracle import Door


def text_of(rng: Random) -> str:
    """A valid file with classes, with targets or without labels."""
    kind, channels = choose(rng, ("class", "target", "none")), rng.randint(1, 3)
    lines = ["@problemName test", "@timeStamps false", f"@dimensions {channels}"]
    lines += {"class": ["@classLabel true up down"], "target": ["@targetLabel true"], "none": ["@classLabel false"]}[
        kind
    ]
    lines.append("@data")
    for index in range(12):
        length = rng.randint(2, 6)
        series = [",".join(f"{rng.gauss(0, 1):.3g}" for _ in range(length)) for _ in range(channels)]
        label = {"class": ["up", "down"][index % 2], "target": f"{rng.random():.3f}", "none": None}[kind]
        lines.append(":".join(series + ([label] if label else [])))
    return "\n".join(lines) + "\n"


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """One file, or files of two splits of which one is mutated."""
    options = {"standardize": rng.random() < 0.3, "skip_bad_files": rng.random() < 0.2}
    text = text_of(rng)
    if rng.random() < 0.7:
        (folder / "a.ts").write_bytes(mutated(rng, text))
        return {"data": "a.ts", "options": options}
    (folder / "a_TRAIN.ts").write_text(text)
    (folder / "a_TEST.ts").write_bytes(mutated(rng, text))
    return {"data": ".", "options": options}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Load the data set."""
    check_splits(use_folder(folder, arguments))


DOOR = Door("ts", make, use)
