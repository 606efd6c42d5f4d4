"""The time loops compiled on first use, where a C compiler is found: no time a call, and products kept in registers.

On one core of an AMD EPYC (Zen 5) a step of 16 rows and 350 units took 17 µs, 230 of some 245 GFLOP/s, where the best
of NumPy, MKL and oneDNN took 41; one row took 3.1 µs instead of 7.2. ``native.c`` is built once for each processor and
kept in ``$XDG_CACHE_HOME/linmem`` (by default ``~/.cache/linmem``). A machine without a C compiler gets one by
``pip install ziglang``, whose loops are as fast as gcc's. Where there is none, or it fails, the other engines do the
work. ``LINMEM_NATIVE=0`` switches it off.

Letters: n rows, i inputs and o outputs of a product, NR outputs of a panel.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from linmem.nn.scan.engine import NumpyEngine
from linmem.nn.scan.loops import Deep

KINDS = {"tanh": 0, "relu": 1, "selu": 2, "identity": 3}
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fPIC", "-shared")


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "linmem"


def _processor() -> str:
    """What the compiled code depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        features = platform.processor()
    return f"{platform.system()} {platform.machine()} {features}"


@cache
def library() -> ctypes.CDLL | None:
    """The compiled loops, built if need be; None where that does not work."""
    if os.environ.get("LINMEM_NATIVE") == "0" or os.name != "posix":
        return None
    source = resources.files("linmem.nn.scan").joinpath("native.c").read_bytes()
    key = hashlib.sha256(source + " ".join((*FLAGS, _processor())).encode()).hexdigest()[:20]
    try:
        path = _folder() / f"loops-{key}.so"
        if not path.exists():
            _build(source, path)
        found = ctypes.CDLL(str(path))
    except (OSError, RuntimeError, subprocess.SubprocessError):
        return None
    return found


def _compiler() -> list[str]:
    """The command of a C compiler: of the machine, or Zig's, which is a package of PyPI."""
    if wished := os.environ.get("CC"):
        return shlex.split(wished)
    if found := next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None):
        return [found]
    if find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc"]
    raise RuntimeError("no C compiler found")


def _build(source: bytes, path: Path) -> None:
    compiler = _compiler()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        code, built = Path(folder) / "native.c", Path(folder) / "native.so"
        code.write_bytes(source)
        subprocess.run([*compiler, *FLAGS, "-o", built, code], check=True, capture_output=True, timeout=300)
        os.replace(built, path)  # whole or not at all, whoever else builds it now


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Of this process: threads do not survive a fork."""
    return ThreadPoolExecutor(threads, "linmem-scan")


class NativeLinear:
    """``z ↦ z Wᵀ + b`` with W (o, i) in panels (panel, i, NR), as native.c reads it."""

    def __init__(self, weight: Tensor, bias: Tensor | None, panel: int) -> None:
        outputs, inputs = weight.shape
        padding = -outputs % panel
        self.packed = F.pad(weight, (0, 0, 0, padding)).view(-1, panel, inputs).transpose(1, 2).contiguous()
        self.bias = None if bias is None else F.pad(bias, (0, padding))

    def __call__(self, z: np.ndarray, space: np.ndarray) -> np.ndarray:
        """Not used step by step."""
        raise NotImplementedError("the native engine runs whole loops only")


class NativeEngine(NumpyEngine):
    """Whole loops in C, float32, one functional layer; sequences shared out among torch's number of threads."""

    name = "native"

    def knows(self, dtype: torch.dtype, device: torch.device, deep: bool = False) -> bool:
        """float32 on a CPU for which the loops could be compiled."""
        return dtype == torch.float32 and device.type == "cpu" and not deep and library() is not None

    def linear(self, weight: Tensor, bias: Tensor | None, rows: int) -> NativeLinear:
        """See :meth:`Engine.linear`."""
        found = library()
        assert found is not None
        return NativeLinear(weight.detach(), None if bias is None else bias.detach(), found.lmn_panel())

    def forward(  # type: ignore[override]
        self, nonlinearity: str, sizes: Sequence[int], projected: Tensor, blocks: Tensor, joined: NativeLinear, p: int
    ) -> None:
        """See :meth:`Engine.forward`."""
        rows, f = np.asarray(sizes, np.int64), projected.shape[1]
        projected = projected.contiguous()

        def run(first: int, last: int) -> None:
            _call(
                "lmn_forward",
                KINDS[nonlinearity],
                len(rows),
                rows,
                first,
                last,
                f,
                p,
                projected,
                blocks,
                joined.packed,
                joined.bias,
            )

        self._share(run, sizes[0])

    def backward(  # type: ignore[override]
        self,
        sizes: Sequence[int],
        blocks: Tensor,
        grad_hidden: Tensor | None,
        joined: NativeLinear,
        space: Tensor,
        deep: list[Deep],
        p: int,
    ) -> None:
        """See :meth:`Engine.backward`."""
        rows, f = np.asarray(sizes, np.int64), blocks.shape[1] - p
        outside = None if grad_hidden is None else grad_hidden.contiguous()
        end = blocks[blocks.shape[0] - sizes[-1] :]

        def run(first: int, last: int) -> None:
            _call("lmn_backward", len(rows), rows, first, last, f, p, _end(outside), end, joined.packed, space)

        self._share(run, sizes[0])

    def _share(self, run: Callable[[int, int], None], rows: int) -> None:
        """Some sequences for each thread; they do not meet in the loops."""
        threads = min(torch.get_num_threads(), rows)
        if threads == 1:
            return run(0, rows)
        borders = [rows * i // threads for i in range(threads + 1)]
        list(_pool(threads, os.getpid()).map(run, borders[:-1], borders[1:]))
        return None


def _end(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr() + tensor.numel() * tensor.element_size()


def _call(name: str, *arguments: object) -> None:
    """Call a C function: integers as int64, arrays and tensors by address."""
    converted: list[object] = []
    for argument in arguments:
        if isinstance(argument, Tensor):
            converted.append(ctypes.c_void_p(argument.data_ptr()))
        elif isinstance(argument, np.ndarray):
            converted.append(ctypes.c_void_p(argument.ctypes.data))
        elif argument is None:
            converted.append(ctypes.c_void_p(None))
        else:
            converted.append(ctypes.c_int64(argument))  # type: ignore[arg-type]
    function = getattr(library(), name)
    function.restype = None
    function(*converted)
