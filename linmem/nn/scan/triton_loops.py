"""The time loops as one GPU kernel per chunk, in Triton: a program computes all steps of 16 sequences.

States, gradients and sums are float32. Products are IEEE float32, not TF32, or use tensor cores in bfloat16, of the
rounded matrix with a state in two parts of 8 bits: a memory enters a product at every step, and with one part
m_t = m_{t-1} + 1 would stop at 256. The matrix is read from the L2 cache at every step, (p + f)² numbers for each
block of 16 sequences, and the state passes from step to step through memory that no other program reads. A batch of
fewer than a hundred blocks leaves part of a large GPU idle.

Tested with Triton's interpreter (``tests/test_triton.py``), never run on a GPU: tile sizes are estimates, and
:mod:`linmem.nn.scan.cuda` checks the kernels on a small problem before it uses them.

Blocks, states and gradients are those of :mod:`linmem.nn.scan.chunks`; symbols as in :mod:`linmem.nn.scan.loops`.
Imported only if Triton is used.
"""

from __future__ import annotations

import os
from typing import Any

import torch
import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]
from torch import Tensor

SEQUENCES, TILE = 16, 32  # rows of a program, and how much of a row enters a product at once
COLUMNS = {torch.bfloat16: 256}  # at most, of a product at once: a tile of the matrix is 16 KiB
COLUMNS_ELSE = 128
# The interpreter of Triton 3.9 truncates to bfloat16 and then multiplies its bits as integers. There, numbers are
# rounded explicitly and multiplied in float32, which gives the result of tensor cores.
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _sigma(v, KIND: tl.constexpr):  # type: ignore[no-untyped-def]
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
def _nearest_bfloat16(a):  # type: ignore[no-untyped-def]
    bits = a.to(tl.int32, bitcast=True)
    bits += 0x7FFF + ((bits >> 16) & 1)
    return (bits & -0x10000).to(tl.float32, bitcast=True)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _product(  # type: ignore[no-untyped-def]
    left, matrix, rows, columns, width, pitch, live,
    ROUND: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Some rows of left (·, width) times some columns of the matrix (width, pitch); sums in the type of left."""
    total = tl.zeros((rows.shape[0], columns.shape[0]), left.dtype.element_ty)
    for start in range(0, width, TILE):
        k = start + tl.arange(0, TILE)
        inside = k < width
        a = tl.load(left + rows[:, None] * width + k[None, :], live[:, None] & inside[None, :], 0.0)
        b = tl.load(matrix + k[:, None] * pitch + columns[None, :], inside[:, None] & (columns < pitch)[None, :], 0.0)
        if ROUND == 0:
            total += tl.dot(a, b, input_precision="ieee", out_dtype=left.dtype.element_ty)
        elif ROUND == 1:
            high = a.to(tl.bfloat16)
            total += tl.dot(high, b) + tl.dot((a - high.to(tl.float32)).to(tl.bfloat16), b)
        else:
            nearest = _nearest_bfloat16(a)
            total += tl.dot(nearest, b.to(tl.float32)) + tl.dot(_nearest_bfloat16(a - nearest), b.to(tl.float32))
    return total


@triton.jit(do_not_specialize=["steps"])  # type: ignore[untyped-decorator,unused-ignore]
def _forward(  # type: ignore[no-untyped-def]
    projected, blocks, matrix, bias, sizes, steps, f, p, pitch,
    BIAS: tl.constexpr, KIND: tl.constexpr, ROUND: tl.constexpr,
    SEQUENCES: tl.constexpr, COLUMNS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    width = p + f
    rows = tl.program_id(0) * SEQUENCES + tl.arange(0, SEQUENCES)
    n = tl.load(sizes)
    held = n  # rows of this block, which step t reads; n of the next, which it fills
    for start in range(0, f, TILE):
        columns = start + tl.arange(0, TILE)
        here = (rows < n)[:, None] & (columns < f)[None, :]
        place = blocks + rows[:, None] * width + (p + columns)[None, :]
        v = tl.load(place, here, 0.0) + tl.load(projected + rows[:, None] * f + columns[None, :], here, 0.0)
        tl.store(place, _sigma(v, KIND), here)
    tl.debug_barrier()
    for t in range(steps):
        live = rows < n
        following = tl.load(sizes + t + 1, t + 1 < steps, 0)
        after = blocks + held * width
        projected += n * f
        for start in range(0, width, COLUMNS):
            columns = start + tl.arange(0, COLUMNS)
            out = _product(blocks, matrix, rows, columns, width, pitch, live, ROUND, TILE)
            if BIAS:
                out += tl.load(bias + columns, columns < width, 0.0)[None, :]
            is_v = (rows < following)[:, None] & ((columns >= p) & (columns < width))[None, :]
            x = tl.load(projected + rows[:, None] * f + (columns - p)[None, :], is_v, 0.0)
            out = tl.where(is_v, _sigma(out + x, KIND), out)
            place = after + rows[:, None] * width + columns[None, :]
            tl.store(place, out, live[:, None] & (columns < width)[None, :])
        tl.debug_barrier()
        blocks = after
        held = n
        n = following


@triton.jit(do_not_specialize=["steps", "count"])  # type: ignore[untyped-decorator,unused-ignore]
def _backward(  # type: ignore[no-untyped-def]
    blocks, outside, matrix, sizes, steps, count, f, p, pitch,
    OUTSIDE: tl.constexpr, ROUND: tl.constexpr, SEQUENCES: tl.constexpr, COLUMNS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    width = p + f
    rows = tl.program_id(0) * SEQUENCES + tl.arange(0, SEQUENCES)
    after = blocks + (tl.load(sizes) + count - tl.load(sizes + steps - 1)).to(tl.int64) * width
    outside += count.to(tl.int64) * f
    for back in range(steps):
        t = steps - 1 - back
        n = tl.load(sizes + t)
        live = rows < n
        block = after - tl.load(sizes + tl.maximum(t - 1, 0)) * width
        outside -= n * f
        for start in range(0, width, COLUMNS):
            columns = start + tl.arange(0, COLUMNS)
            here = live[:, None] & (columns < width)[None, :]
            is_v = here & (columns >= p)[None, :]
            g = _product(after, matrix, rows, columns, width, pitch, live, ROUND, TILE)
            if OUTSIDE:
                g += tl.load(outside + rows[:, None] * f + (columns - p)[None, :], is_v, 0.0)
            place = block + rows[:, None] * width + columns[None, :]
            old = tl.load(place, here, 0.0)
            tl.store(place, tl.where(is_v, old * g, old + g), here)
        tl.debug_barrier()
        after = block


def forward(
    kind: int, sizes: Tensor, batch: int, projected: Tensor, blocks: Tensor, matrix: Tensor, bias: Tensor | None, p: int
) -> None:
    """Fill the blocks after the first, which holds [m_{t-1}, v_t]; see :func:`linmem.nn.scan.loops.forward`.

    Sizes (T,) int32 are the rows n_t of each step, matrix (p + f, pitch) is Aᵀ, its rows padded to `pitch`.
    """
    _forward[(triton.cdiv(batch, SEQUENCES),)](
        projected, blocks, matrix, matrix if bias is None else bias,
        sizes, len(sizes), projected.shape[1], p, matrix.shape[1],
        BIAS=bias is not None, KIND=kind, **_tiles(matrix),
    )  # fmt: skip


def backward(sizes: Tensor, batch: int, blocks: Tensor, grad_hidden: Tensor | None, matrix: Tensor, p: int) -> None:
    """Fill the blocks of gradients before the last; see :func:`linmem.nn.scan.loops.backward`.

    Sizes as above, matrix (p + f, pitch) is A, its rows padded to `pitch`.
    """
    outside = blocks if grad_hidden is None else grad_hidden
    _backward[(triton.cdiv(batch, SEQUENCES),)](
        blocks, outside, matrix, sizes, len(sizes), len(blocks) - batch, blocks.shape[1] - p, p, matrix.shape[1],
        OUTSIDE=grad_hidden is not None, **_tiles(matrix),
    )  # fmt: skip


def _tiles(matrix: Tensor) -> dict[str, Any]:
    columns = min(COLUMNS.get(matrix.dtype, COLUMNS_ELSE), max(TILE, triton.next_power_of_2(matrix.shape[0])))
    return {
        "ROUND": 0 if matrix.dtype != torch.bfloat16 else 2 if INTERPRETED else 1,
        "SEQUENCES": SEQUENCES, "COLUMNS": columns, "TILE": TILE, "num_warps": 4 if columns <= 128 else 8,
    }  # fmt: skip
