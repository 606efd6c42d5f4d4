"""IDX files, gzipped or not."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutations import choose, mutated_bytes
from tests.fuzz.oracle import Door

TYPES = (0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E, 0x07, 0x00)


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """A file with 0 to 4 axes; the archive or its content is mutated."""
    shape = [rng.randint(1, 6) for _ in range(rng.randint(0, 4))]
    kind = 0x08 if rng.random() < 0.7 else choose(rng, TYPES)
    size = {0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}.get(kind, 1) * math.prod(shape)
    content = bytes([0, 0, kind, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape) + rng.randbytes(size)
    content = content if rng.random() < 0.2 else mutated_bytes(rng, content, head=20)
    name = choose(rng, ("a.gz", "a.idx"))
    if name == "a.gz":
        if rng.random() < 0.03:
            content += bytes(100_000_000)  # 100 kB of archive
        content = gzip.compress(content, 1, mtime=0)
        content = content if rng.random() < 0.5 else mutated_bytes(rng, content, head=20)
    (folder / name).write_bytes(content)
    return {"file": name}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Read the array."""
    from linmem.data.mnist import read_idx

    found = read_idx(folder / arguments["file"])
    assert found.dtype.isnative
    assert found.dtype.kind in "uif"


DOOR = Door("idx", make, use)
