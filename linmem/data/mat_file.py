"""MAT files of version 5 that hold cell arrays of matrices: sizes are checked against the file before any allocation.

Layout: 128 bytes of text and version, then elements of a type, a size and a content; an element may be compressed.
A matrix element holds flags with its class, its shape, its name and its content, which in a cell array are matrices.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from linmem.storage.limits import max_bytes, require_size
from linmem.storage.messages import shortened
from linmem.storage.parsing import parsing

NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # element types
MATRIX, COMPRESSED = 14, 15  # element types
CELL, NUMERIC = 1, range(6, 16)  # classes of a matrix
COMPLEX = 0x08  # a flag
_HEADER = 128
_BYTES_PER_BYTE = 16  # memory of the matrices per byte of elements


class _Element(NamedTuple):
    kind: int
    content: memoryview


def read_cells(path: Path) -> dict[str, list[np.ndarray]]:
    """Read the cell arrays of a file.

    Parameters
    ----------
    path : Path
        A file of version 5, as MATLAB's ``save -v7`` or `scipy.io.savemat` writes it.

    Returns
    -------
    dict from str to list of ndarray
        The cells of each variable in the order of MATLAB; variables of other classes are left out.

    Raises
    ------
    ValueError
        The file is damaged, has another version or other cells than real matrices, or exceeds `LINMEM_MAX_BYTES`.
    """
    require_size(path.stat().st_size, path)
    content = path.read_bytes()
    with parsing(path, "a MAT file of version 5", "Restore the file."):
        order = {b"IM": "<", b"MI": ">"}.get(content[126:_HEADER], "")
        if not order or struct.unpack_from(order + "H", content, 124)[0] != 0x0100:
            raise ValueError("another format or version")
        found = {}
        for element in _elements(memoryview(content)[_HEADER:], order):
            whole = _decompressed(element, order, path) if element.kind == COMPRESSED else element
            if whole.kind == MATRIX:
                name, cells = _variable(whole.content, order)
                if cells is not None:
                    found[name] = cells
        return found


def _elements(content: memoryview, order: str) -> Iterator[_Element]:
    """Yield the elements of `content`."""
    place = 0
    while place + 8 <= len(content):
        kind, size = struct.unpack_from(order + "II", content, place)
        start = place + 8
        if kind >> 16:  # a small element: type and size in 2 bytes each, then 4 bytes of content
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
        if start + size > len(content):
            raise ValueError(f"an element of {size} bytes where {len(content) - start} are left")
        yield _Element(kind, content[start : start + size])
        place = max(start + size, place + 8)
        if kind != COMPRESSED:  # all others are padded to 8 bytes
            place += -place % 8


def _decompressed(element: _Element, order: str, path: Path) -> _Element:
    """The element inside a compressed one, of at most the limit on allocations."""
    stream = zlib.decompressobj()
    content = stream.decompress(element.content, max_bytes() // _BYTES_PER_BYTE)
    require_size(_BYTES_PER_BYTE * (len(content) + len(stream.unconsumed_tail)), path)
    if not stream.eof:
        raise ValueError("a compressed element that does not end")
    inner = next(_elements(memoryview(content), order), None)
    if inner is None:
        raise ValueError("an empty compressed element")
    return inner


def _variable(content: memoryview, order: str) -> tuple[str, list[np.ndarray] | None]:
    """The name of a matrix element, and its cells if it is a cell array."""
    flags, shape, name, parts = _matrix(content, order)
    if flags & 0xFF != CELL:
        return name, None
    if math.prod(shape) != len(parts):
        raise ValueError(f"{len(parts)} cells in an array of shape {shortened(shape, 40)}")
    return name, [_numbers(part, order) for part in parts]


def _matrix(content: memoryview, order: str) -> tuple[int, tuple[int, ...], str, list[_Element]]:
    """Flags, shape, name and the further elements of a matrix."""
    flags, sizes, name, *parts = _first(_elements(content, order), 3)
    if len(flags.content) < 4 or len(sizes.content) % 4 or not sizes.content:
        raise ValueError("a matrix without flags or shape")
    shape = struct.unpack(f"{order}{len(sizes.content) // 4}i", sizes.content)
    if min(shape) < 0:
        raise ValueError(f"a matrix of shape {shortened(shape, 40)}")
    (bits,) = struct.unpack_from(order + "I", flags.content)
    return bits, shape, bytes(name.content).decode("ascii", "replace"), parts


def _first(elements: Iterator[_Element], count: int) -> list[_Element]:
    found = list(elements)
    if len(found) < count:
        raise ValueError(f"a matrix of {len(found)} elements")
    return found


def _numbers(cell: _Element, order: str) -> np.ndarray:
    """A real matrix; its values may be stored in a smaller type than its class."""
    if cell.kind != MATRIX:
        raise ValueError(f"a cell of type {cell.kind} instead of a matrix")
    flags, shape, _, parts = _matrix(cell.content, order)
    if flags & 0xFF not in NUMERIC or flags >> 8 & COMPLEX or len(parts) != 1 or parts[0].kind not in NUMBERS:
        raise ValueError("a cell that is not a real matrix")
    values = np.frombuffer(parts[0].content, np.dtype(order + NUMBERS[parts[0].kind]))
    if math.prod(shape) != len(values):
        raise ValueError(f"{len(values)} values in a matrix of shape {shortened(shape, 40)}")
    return values.reshape(shape, order="F")
