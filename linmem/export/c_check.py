"""Compiles a C program of a model and runs it on a sequence, to compare it with Python."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-shared", "-fPIC")


def find_compiler() -> str | None:
    """The C compiler `$CC`, gcc, cc or clang, None where there is none."""
    names = (os.environ.get("CC", ""), "gcc", "cc", "clang")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def run_program(code: str, name: str, series: np.ndarray, outputs: int, *, forecast: int = 0) -> np.ndarray:
    """Compile a program, reset it, and run a series (T, a) through it.

    Parameters
    ----------
    code : str
        The C file.
    name : str
        Prefix of its functions.
    series : (T, a) array
        The steps; may be empty with `forecast`.
    outputs : int
        o.
    forecast : int
        With a number above 0, return so many steps of NAME_forecast after the series instead.

    Returns
    -------
    (T, o) float32 array
        Or (forecast, o).

    Raises
    ------
    RuntimeError
        There is no compiler, or the program does not compile without warnings.
    """
    compiler = find_compiler()
    if compiler is None:
        raise RuntimeError("a C compiler must be installed to check the program, got none. Install gcc or set CC.")
    with TemporaryDirectory() as folder:
        source, library = Path(folder) / f"{name}.c", Path(folder) / f"{name}.so"
        source.write_text(code, encoding="utf-8")
        command = [compiler, *FLAGS, "-o", str(library), str(source), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise RuntimeError(f"the program must compile without warnings, got: {done.stderr[:500]}")
        loaded = ctypes.CDLL(str(library))
        getattr(loaded, f"{name}_reset")()
        step, result = getattr(loaded, f"{name}_step"), np.zeros((max(len(series), forecast), outputs), np.float32)
        pointer = ctypes.POINTER(ctypes.c_float)
        for x, y in zip(np.ascontiguousarray(series, np.float32), result, strict=False):
            step(x.ctypes.data_as(pointer), y.ctypes.data_as(pointer))
        if forecast:
            getattr(loaded, f"{name}_forecast")(result.ctypes.data_as(pointer), forecast)
            return result[:forecast]
        return result
