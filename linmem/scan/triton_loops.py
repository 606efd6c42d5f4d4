"""The time loops as one GPU kernel a chunk, in Triton: a program keeps some sequences and walks through the steps.

Correct by Triton's interpreter (``tests/test_triton.py``), never yet run or timed on a GPU; so nothing takes it by
itself. ``LINMEM_ENGINE=triton`` asks for it. One program a block of 16 sequences leaves most of a GPU idle for small
batches; products are IEEE float32, not TF32.

Blocks, states and gradients are those of :mod:`linmem.scan.chunks`; letters as in :mod:`linmem.scan.loops`. Imported
only where Triton is asked for.
"""

from __future__ import annotations

from typing import Any

import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]
from torch import Tensor

SEQUENCES, TILE = 16, 32


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _sigma(v: Any, KIND: tl.constexpr) -> Any:
    if KIND == 0:
        e = tl.exp(-2.0 * tl.abs(v))
        size = (1.0 - e) / (1.0 + e)
        return tl.where(v < 0, -size, size)
    if KIND == 1:
        return tl.where(v < 0, 0.0, v)
    if KIND == 2:
        return tl.where(v > 0, 1.0507009873554805 * v, 1.7580993408473766 * (tl.exp(tl.where(v > 0, 0.0, v)) - 1.0))
    return v


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _product(left: Any, matrix: Any, rows: Any, columns: Any, width: Any, live: Any, TILE: tl.constexpr) -> Any:
    """``left matrixᵀ``: some rows of (·, width) and some columns, float32."""
    total = tl.zeros((rows.shape[0], columns.shape[0]), tl.float32)
    for start in range(0, width, TILE):
        k = start + tl.arange(0, TILE)
        inside = k < width
        a = tl.load(left + rows[:, None] * width + k[None, :], live[:, None] & inside[None, :], 0.0)
        b = tl.load(matrix + columns[None, :] * width + k[:, None], inside[:, None] & (columns < width)[None, :], 0.0)
        total += tl.dot(a, b, input_precision="ieee")
    return total


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _forward(
    projected: Any, blocks: Any, matrix: Any, bias: Any, steps: Any, batch: Any, f: Any, p: Any,
    BIAS: tl.constexpr, KIND: tl.constexpr, SEQUENCES: tl.constexpr, TILE: tl.constexpr,
) -> None:  # fmt: skip
    width = p + f
    rows = tl.program_id(0) * SEQUENCES + tl.arange(0, SEQUENCES)
    live = rows < batch
    for t in range(steps):
        for start in range(0, width, TILE):
            columns = start + tl.arange(0, TILE)
            here = live[:, None] & (columns < width)[None, :]
            out = _product(blocks, matrix, rows, columns, width, live, TILE)
            if BIAS:
                out += tl.load(bias + columns, columns < width, 0.0)[None, :]
            is_v = here & (columns >= p)[None, :]
            if t + 1 < steps:
                x = tl.load(projected + (batch + rows[:, None]) * f + (columns - p)[None, :], is_v, 0.0)
                out = tl.where(is_v, _sigma(out + x, KIND), out)
            tl.store(blocks + (batch + rows[:, None]) * width + columns[None, :], out, here)
        tl.debug_barrier()
        blocks += batch * width
        projected += batch * f


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _backward(
    blocks: Any, outside: Any, matrix: Any, steps: Any, batch: Any, f: Any, p: Any,
    OUTSIDE: tl.constexpr, SEQUENCES: tl.constexpr, TILE: tl.constexpr,
) -> None:  # fmt: skip
    width = p + f
    rows = tl.program_id(0) * SEQUENCES + tl.arange(0, SEQUENCES)
    live = rows < batch
    for back in range(steps):
        t = steps - 1 - back
        after, block = blocks + (t + 1) * batch * width, blocks + t * batch * width
        for start in range(0, width, TILE):
            columns = start + tl.arange(0, TILE)
            here = live[:, None] & (columns < width)[None, :]
            is_v = here & (columns >= p)[None, :]
            g = _product(after, matrix, rows, columns, width, live, TILE)
            if OUTSIDE:
                g += tl.load(outside + (t * batch + rows[:, None]) * f + (columns - p)[None, :], is_v, 0.0)
            place = block + rows[:, None] * width + columns[None, :]
            held = tl.load(place, here, 0.0)
            tl.store(place, tl.where(is_v, held * g, held + g), here)
        tl.debug_barrier()


def forward(
    kind: int, steps: int, projected: Tensor, blocks: Tensor, matrix: Tensor, bias: Tensor | None, p: int
) -> None:
    """Fill the blocks after the first, which holds [m_{t-1}, h_t], all of as many rows; matrix (p + f, p + f)."""
    batch, f = projected.shape[0] // steps, projected.shape[1]
    _forward[(triton.cdiv(batch, SEQUENCES),)](
        projected, blocks, matrix, matrix if bias is None else bias, steps, batch, f, p,
        BIAS=bias is not None, KIND=kind, SEQUENCES=SEQUENCES, TILE=TILE,
    )  # fmt: skip


def backward(steps: int, blocks: Tensor, grad_hidden: Tensor | None, matrix: Tensor, p: int) -> None:
    """Fill the blocks of gradients before the last; see :func:`linmem.scan.loops.backward`."""
    batch, f = blocks.shape[0] // (steps + 1), blocks.shape[1] - p
    outside = blocks if grad_hidden is None else grad_hidden
    _backward[(triton.cdiv(batch, SEQUENCES),)](
        blocks, outside, matrix, steps, batch, f, p,
        OUTSIDE=grad_hidden is not None, SEQUENCES=SEQUENCES, TILE=TILE,
    )  # fmt: skip
