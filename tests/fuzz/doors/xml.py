"""XML files of strokes, as in IAM-OnDB."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.doors.csv import mutated
from tests.fuzz.oracle import Door

ENTITIES = "".join(f'<!ENTITY e{i} "&e{i - 1};&e{i - 1};&e{i - 1};&e{i - 1};">' for i in range(1, 30))


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """Strokes of a few points; sometimes with expanding entities, external ones or deep nesting."""
    strokes = "".join(
        "<Stroke>"
        + "".join(f'<Point x="{rng.randint(0, 999)}" y="{rng.randint(0, 999)}"/>' for _ in range(4))
        + "</Stroke>\n"
        for _ in range(rng.randint(1, 4))
    )
    head = '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
    kind = rng.random()
    if kind < 0.05:
        head += f'<!DOCTYPE x [<!ENTITY e0 "1">{ENTITIES}]>\n'
        strokes = strokes.replace('x="', 'x="&e29;', 1)
    elif kind < 0.1:
        head += '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>\n'
        strokes = strokes.replace("</Stroke>", "&e;</Stroke>", 1)
    elif kind < 0.12:
        strokes = "<a>" * 100_000 + strokes + "</a>" * 100_000
    (folder / "a.xml").write_bytes(mutated(rng, f"{head}<Capture>\n{strokes}</Capture>\n"))
    return {}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Read the strokes."""
    from linmem.data.handwriting import read_strokes

    found = read_strokes(folder / "a.xml")
    assert found.ndim == 2
    assert found.shape[1] == 3
    assert bool(found.isfinite().all())


DOOR = Door("xml", make, use)
