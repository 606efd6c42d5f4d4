"""The time loops compiled from C: no overhead per call, and products kept in registers.

On one core of an AMD EPYC (Zen 5) a step of 16 rows and 350 units takes 17 µs, 230 of about 245 GFLOP/s, where the best
of NumPy, MKL and oneDNN takes 41 µs; one row takes 3.1 µs instead of 7.2. The library is compiled on first use
(:mod:`linmem.nn.scan.compiled_library`).

Symbols: n rows, i inputs and o outputs of a product, NR outputs of a panel.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from linmem.nn.scan.compiled_library import library
from linmem.nn.scan.engine import NumpyEngine
from linmem.nn.scan.loops import Deep, DiagonalStep

KINDS = {"tanh": 0, "relu": 1, "selu": 2, "identity": 3}


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """The threads of this process; they do not survive a fork."""
    return ThreadPoolExecutor(threads, "linmem-scan")


class NativeLinear:
    """``z ↦ z Wᵀ + b`` with W (o, i) in the layout of native.c: panels (panel, i, NR)."""

    def __init__(self, weight: Tensor, bias: Tensor | None, panel: int) -> None:
        outputs, inputs = weight.shape
        padding = -outputs % panel
        self.packed = F.pad(weight, (0, 0, 0, padding)).view(-1, panel, inputs).transpose(1, 2).contiguous()
        self.bias = None if bias is None else F.pad(bias, (0, padding))

    def __call__(self, z: np.ndarray, space: np.ndarray) -> np.ndarray:
        """The compiled loops run all steps; there is no single step."""
        raise NotImplementedError


class NativeEngine(NumpyEngine):
    """Whole loops in C, float32, one functional layer; torch's number of threads share the sequences."""

    name = "native"

    def supports(self, dtype: torch.dtype, device: torch.device, step_by_step: bool = False) -> bool:
        """Whole loops in float32 on a CPU, where they can be compiled."""
        return dtype == torch.float32 and device.type == "cpu" and not step_by_step and library() is not None

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
            numbers = (KINDS[nonlinearity], len(rows), rows, first, last, f, p)
            _call("lmn_forward", *numbers, projected, blocks, joined.packed, joined.bias)

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

    def forward_diagonal(
        self,
        nonlinearity: str,
        sizes: Sequence[int],
        before: Tensor,
        memory: Tensor,
        layers: list[Tensor],
        step: DiagonalStep,
    ) -> None:
        """See :meth:`Engine.forward_diagonal`."""
        rows, (f, p) = np.asarray(sizes, np.int64), (layers[0].shape[1], memory.shape[1])
        W_mh, W_hm, space = (
            cast(NativeLinear, step.to_hidden),
            cast(NativeLinear, step.to_memory),
            _space(layers[0], rows),
        )

        def run(first: int, last: int) -> None:
            numbers = (KINDS[nonlinearity], len(rows), rows, first, last, f, p)
            matrices = (W_mh.packed, W_hm.packed, W_hm.bias, step.own, step.other)
            _call("lmn_diagonal_forward", *numbers, before, memory, layers[0], *matrices, space)

        self._share(run, sizes[0])

    def backward_diagonal(
        self,
        sizes: Sequence[int],
        delta_before: Tensor,
        delta_memory: Tensor,
        deltas: list[Tensor],
        grad_hidden: Tensor | None,
        step: DiagonalStep,
    ) -> None:
        """See :meth:`Engine.backward_diagonal`."""
        rows, (f, p) = np.asarray(sizes, np.int64), (deltas[0].shape[1], delta_memory.shape[1])
        outside = None if grad_hidden is None else grad_hidden.contiguous()
        W_hm, W_mh = cast(NativeLinear, step.to_hidden), cast(NativeLinear, step.to_memory)
        spaces = _space(deltas[0], rows), _space(delta_memory, rows)

        def run(first: int, last: int) -> None:
            ends = (_end(outside), delta_before, _end(delta_memory), _end(deltas[0]))
            matrices = (W_hm.packed, W_mh.packed, step.own, step.other)
            _call("lmn_diagonal_backward", len(rows), rows, first, last, f, p, *ends, *matrices, *spaces)

        self._share(run, sizes[0])

    def _share(self, run: Callable[[int, int], None], rows: int) -> None:
        """Give each thread some of the sequences, which are independent of each other in the loops."""
        threads = min(torch.get_num_threads(), rows)
        if threads == 1:
            return run(0, rows)
        bounds = [rows * i // threads for i in range(threads + 1)]
        list(_pool(threads, os.getpid()).map(run, bounds[:-1], bounds[1:]))
        return None


def _space(like: Tensor, rows: np.ndarray) -> Tensor:
    """Uninitialized memory for the rows of one step."""
    return torch.empty_like(like[: int(rows[0])])


def _address(tensor: Tensor) -> int:
    """Where a tensor begins; the C code reads plain numbers row after row and knows no strides."""
    assert tensor.is_contiguous()
    assert not tensor.is_neg()
    return tensor.data_ptr()


def _end(tensor: Tensor | None) -> int | None:
    return None if tensor is None else _address(tensor) + tensor.numel() * tensor.element_size()


def _call(name: str, *arguments: object) -> None:
    """Call a C function: integers as int64, arrays and tensors by address."""
    converted: list[object] = []
    for argument in arguments:
        if isinstance(argument, Tensor):
            converted.append(ctypes.c_void_p(_address(argument)))
        elif isinstance(argument, np.ndarray):
            converted.append(ctypes.c_void_p(argument.ctypes.data))
        elif argument is None:
            converted.append(ctypes.c_void_p(None))
        else:
            converted.append(ctypes.c_int64(argument))  # type: ignore[arg-type]
    function = getattr(library(), name)
    function.restype = None
    function(*converted)
