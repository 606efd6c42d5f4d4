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
_BYTES_PER_ELEMENT = 512  # memory of an element and its array, besides that of its content: 401 bytes measured
_MOST_DIMENSIONS = 32


class _Element(NamedTuple):
    kind: int
    content: memoryview


class _Memory:
    """The memory that one file takes, as a running total over its elements."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.used = 0

    def add(self, size: int) -> None:
        """Count `size` bytes; raises ValueError where the total exceeds the limit."""
        self.used += size
        require_size(self.used, self.path)

    def left(self) -> int:
        """Bytes below the limit."""
        return max(0, max_bytes() - self.used)


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
        memory, found = _Memory(path), {}
        memory.add(len(content))
        for element in _elements(memoryview(content)[_HEADER:], order, memory):
            whole = _decompressed(element, order, memory) if element.kind == COMPRESSED else element
            if whole.kind == MATRIX and _class_of(whole.content, order, memory) == CELL:
                name, cells = _cell_array(whole.content, order, memory)
                found[name] = cells
        return found


def _elements(content: memoryview, order: str, memory: _Memory) -> Iterator[_Element]:
    """Yield the elements of `content`, each counted in `memory`."""
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
        memory.add(_BYTES_PER_ELEMENT)
        yield _Element(kind, content[start : start + size])
        place = max(start + size, place + 8)
        if kind != COMPRESSED:  # all others are padded to 8 bytes
            place += -place % 8


def _decompressed(element: _Element, order: str, memory: _Memory) -> _Element:
    """The element inside a compressed one, of at most what is left of the limit on allocations."""
    stream = zlib.decompressobj()
    content = stream.decompress(element.content, memory.left() // _BYTES_PER_BYTE + 1)
    memory.add(_BYTES_PER_BYTE * len(content))
    if not stream.eof:
        raise ValueError("a compressed element that does not end")
    inner = next(_elements(memoryview(content), order, memory), None)
    if inner is None:
        raise ValueError("an empty compressed element")
    return inner


def _class_of(content: memoryview, order: str, memory: _Memory) -> int | None:
    """The class of a matrix element; None if the element is empty. What follows the flags depends on the class."""
    flags = next(_elements(content, order, memory), None)
    return None if flags is None else _bits(flags, order) & 0xFF


def _bits(flags: _Element, order: str) -> int:
    if len(flags.content) < 4:
        raise ValueError("a matrix without flags")
    bits: int = struct.unpack_from(order + "I", flags.content)[0]
    return bits


def _cell_array(content: memoryview, order: str, memory: _Memory) -> tuple[str, list[np.ndarray]]:
    """The name and the cells of a cell array."""
    _, shape, name, parts = _matrix(content, order, memory)
    if math.prod(shape) != len(parts):
        raise ValueError(f"{len(parts)} cells in an array of shape {shortened(shape, 40)}")
    return name, [_numbers(part, order, memory) for part in parts]


def _matrix(content: memoryview, order: str, memory: _Memory) -> tuple[int, tuple[int, ...], str, list[_Element]]:
    """Flags, shape, name and the further elements of a matrix."""
    flags, sizes, name, *parts = _first(_elements(content, order, memory), 3)
    count, rest = divmod(len(sizes.content), 4)
    if rest or not 0 < count <= _MOST_DIMENSIONS:
        raise ValueError(f"a matrix whose shape takes {len(sizes.content)} bytes")
    shape = struct.unpack(f"{order}{count}i", sizes.content)
    if min(shape) < 0:
        raise ValueError(f"a matrix of shape {shortened(shape, 40)}")
    return _bits(flags, order), shape, bytes(name.content).decode("ascii", "replace"), parts


def _first(elements: Iterator[_Element], count: int) -> list[_Element]:
    found = list(elements)
    if len(found) < count:
        raise ValueError(f"a matrix of {len(found)} elements")
    return found


def _numbers(cell: _Element, order: str, memory: _Memory) -> np.ndarray:
    """A real matrix; its values may be stored in a smaller type than its class, and an element of 0 bytes is empty."""
    if cell.kind != MATRIX:
        raise ValueError(f"a cell of type {cell.kind} instead of a matrix")
    if not cell.content:
        return np.zeros((0, 0))
    flags, shape, _, parts = _matrix(cell.content, order, memory)
    if flags & 0xFF not in NUMERIC or flags >> 8 & COMPLEX or len(parts) != 1 or parts[0].kind not in NUMBERS:
        raise ValueError("a cell that is not a real matrix")
    values = np.frombuffer(parts[0].content, np.dtype(order + NUMBERS[parts[0].kind]))
    if math.prod(shape) != len(values):
        raise ValueError(f"{len(values)} values in a matrix of shape {shortened(shape, 40)}")
    return values.reshape(shape, order="F")
