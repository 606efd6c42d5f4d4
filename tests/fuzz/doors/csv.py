"""CSV files: one long table, or a folder with class folders or labels.csv."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.doors.folders import check_splits, use_folder
from tests.fuzz.mutations import choose, mutated_bytes, mutated_text
from tests.fuzz.oracle import Door


def table(rng: Random, rows: int, columns: int = 2) -> str:
    """A valid table, sometimes with a header."""
    lines = [",".join(f"{rng.gauss(0, 1):.3g}" for _ in range(columns)) for _ in range(rows)]
    header = [",".join("xyz"[:columns])] if rng.random() < 0.5 else []
    return "\n".join([*header, *lines]) + "\n"


def mutated(rng: Random, text: str) -> bytes:
    """The text as it is, or mutated as text or as bytes."""
    kind = rng.random()
    return (
        text.encode() if kind < 0.15 else mutated_text(rng, text) if kind < 0.85 else mutated_bytes(rng, text.encode())
    )


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """A file, or a folder whose labels or one of whose tables is mutated."""
    options: dict[str, Any] = {
        "layout": choose(rng, ("tc", "tc", "ct")),
        "standardize": rng.random() < 0.3,
        "skip_bad_files": rng.random() < 0.2,
        "labels": choose(rng, ("auto", "auto", "folders", "none")),
    }
    if rng.random() < 0.6:
        (folder / "a.csv").write_bytes(mutated(rng, table(rng, rng.randint(3, 30))))
        return {"data": "a.csv", "options": options}
    in_classes = rng.random() < 0.4
    for index in range(8):
        place = folder / choose(rng, ("down", "up")) if in_classes else folder
        place.mkdir(exist_ok=True)
        text = "x,y\n" + "".join(f"{index},{step}\n" for step in range(5))
        (place / f"f{index}.csv").write_bytes(
            mutated(rng, text) if index == 3 and rng.random() < 0.5 else text.encode()
        )
    if not in_classes:
        values = [choose(rng, ("up", "down")) if rng.random() < 0.5 else str(index) for index in range(8)]
        text = "file,label\n" + "".join(f"f{index}.csv,{value}\n" for index, value in enumerate(values))
        (folder / "labels.csv").write_bytes(mutated(rng, text))
    return {"data": ".", "options": options}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Load the data set."""
    check_splits(use_folder(folder, arguments))


DOOR = Door("csv", make, use)
