"""NPY files: single arrays and folders of them."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.doors.folders import check_splits, use_folder
from tests.fuzz.mutations import choose, mutated_bytes
from tests.fuzz.oracle import Door

TYPES = ("f4", "f8", "f2", ">f4", "i1", "u2", ">i8", "?", "c8", "U3", "M8[s]", "V4", "f4,i4")
HEADERS = (
    b"(9, 3)", b"(1000000000000, 3)", b"(-1, 3)", b"((3,), 3)", b"(" * 200, b"(27,)", b"()", b"(9, 3", b"(9L, 3L)",
    b"(9, 3.0)", b"(True, 3)", b"(" + b"9" * 400 + b", 3)", b"(0, 3)", b"'x'", b"{}", b"(9, 3, " + b"1, " * 40 + b")",
)  # fmt: skip


def content(rng: Random) -> bytes:
    """One NPY file of any type, in either order, with mutations in most cases."""
    rows, columns = rng.randint(1, 40), rng.randint(1, 4)
    array = np.random.default_rng(rng.getrandbits(32)).normal(size=(rows, columns))
    if rng.random() < 0.3:
        array.flat[rng.randrange(array.size)] = choose(rng, (np.nan, np.inf, 1e300, -1e39))
    with np.errstate(all="ignore"):
        array = np.asarray(array, order=choose(rng, "CF"))
        kind = "f4" if rng.random() < 0.6 else choose(rng, TYPES)
        array = np.zeros(array.shape, kind) if kind in ("f4,i4", "V4", "M8[s]") else array.astype(kind)
    array = array.reshape(choose(rng, (array.shape,) * 6 + ((-1,), (1, *array.shape), (*array.shape, 1))))
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=choose(rng, ((1, 0), (1, 0), (2, 0), (3, 0))), allow_pickle=False)
    found = stream.getvalue()
    if rng.random() < 0.2:
        found = found.replace(str(array.shape).encode(), choose(rng, HEADERS), 1)
    return found if rng.random() < 0.15 else mutated_bytes(rng, found, head=100)


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """A file, or a folder with valid files beside the mutated one."""
    options = {
        "layout": choose(rng, ("tc", "tc", "ct")),
        "standardize": rng.random() < 0.3,
        "skip_bad_files": rng.random() < 0.2,
    }
    if rng.random() < 0.7:
        (folder / "a.npy").write_bytes(content(rng))
        return {"data": "a.npy", "options": options}
    for index in range(4):
        np.save(folder / f"valid{index}.npy", np.random.default_rng(index).normal(size=(9, 3)).astype("f4"))
    (folder / "a.npy").write_bytes(content(rng))
    return {"data": ".", "options": options}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Read the array by itself, then the data set."""
    from linmem.data.npy_file import read_npy

    if arguments["data"] == "a.npy":
        assert read_npy(folder / "a.npy").dtype.kind in "fiub"
    check_splits(use_folder(folder, arguments))


DOOR = Door("npy", make, use)
