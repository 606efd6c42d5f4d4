"""NPY files: the header is checked against the file's size before anything is allocated, and nothing is unpickled."""

from __future__ import annotations

import math
import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from linmem.storage.limits import require_size
from linmem.storage.messages import shortened
from linmem.storage.parsing import parsing


def read_npy(path: Path) -> np.ndarray:
    """Read an array of real numbers.

    Parameters
    ----------
    path : Path
        A file written by `numpy.save`.

    Returns
    -------
    ndarray
        The array as stored, of any shape.

    Raises
    ------
    ValueError
        The file is damaged, is another format, holds other values than real numbers, or exceeds `LINMEM_MAX_BYTES`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "a.npy", np.eye(2))
    ...     read_npy(Path(folder) / "a.npy")
    array([[1., 0.],
           [0., 1.]])
    """
    with path.open("rb") as stream:
        expected = "a readable NPY file of numbers"
        with parsing(path, expected, "Save it with numpy.save."), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers of Python 2
            sizes, fortran, dtype = _header(stream)
            shape = tuple(map(int, sizes))  # NumPy accepts True as a size, and then fails on it
        if dtype.kind not in "fiub":
            raise ValueError(f"{path} must hold real numbers, got {shortened(dtype)}. Convert the array.")
        if any(size < 0 for size in shape):
            raise ValueError(f"{path} must have sizes of at least 0, got {shortened(shape)}. Save it with numpy.save.")
        size = math.prod(shape) * dtype.itemsize
        require_size(size, path)
        content = stream.read(size)
    if len(content) != size:
        raise ValueError(f"{path} must hold {size} bytes of numbers, got {len(content)}: it is truncated. Restore it.")
    values = np.frombuffer(content, dtype)
    return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)


def _header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy_format.read_magic(stream)
    start = stream.tell()
    size = int.from_bytes(stream.read(2 if version == (1, 0) else 4), "little")
    left = stream.seek(0, os.SEEK_END) - start
    if size > left:  # NumPy allocates the size before it reads
        raise ValueError(f"a header of {size} bytes where {left} are left")
    stream.seek(start)
    if version == (1, 0):
        return npy_format.read_array_header_1_0(stream)
    return npy_format.read_array_header_2_0(stream)
